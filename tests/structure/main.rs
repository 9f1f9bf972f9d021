//! Holds the repository to its own rules: which module may use which, how long things may get, that
//! the tables agree with each other, and that the documents say what the code does.

mod arrows;
mod documents;
mod kill_matrix;
mod observability;
mod reference;
mod size;
mod source;
mod tables;
