//! The engine, the model and the judge through the public interface: what they decide, and that nothing but the rows matters.

mod backtest;
mod budget;
mod cards;
mod cohorts;
mod cold_start;
mod creeping;
mod decisions;
mod demo_cards;
mod evidence;
mod feedback;
mod kafka_partitions;
mod lasting;
mod late;
mod levels;
mod model;
mod onsets;
mod parquet;
#[path = "../plant/mod.rs"]
mod plant;
mod pyramid;
mod reasons;
mod refit;
#[path = "../sensors/mod.rs"]
mod sensors;
mod silence;
mod train_report;
mod windows;
