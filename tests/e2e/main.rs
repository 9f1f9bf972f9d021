//! The release binary over real sockets: killed, starved, lied to, and asked.

mod access;
mod bad_input;
mod budget;
mod cards;
#[path = "../support/certificates.rs"]
mod certificates;
#[path = "../support/e2e/mod.rs"]
mod e2e;
mod feedback;
mod full_disk;
mod kill;
mod large_state;
mod late;
mod mqtt;
mod mqtt_sink;
mod noted;
mod open_files;
mod orders;
mod page;
#[path = "../plant/mod.rs"]
mod plant;
mod power_cut;
mod pruning;
mod receipts;
mod refit;
mod refusals;
mod replay;
mod reset;
mod retry;
mod silence;
#[path = "../support/small_disk.rs"]
mod small_disk;
mod snapshot;
mod stdout;
mod stop;
#[path = "../support/subscriber.rs"]
mod subscriber;
mod systemd;
mod telemetry;
mod upgrade;
