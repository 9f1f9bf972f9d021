//! The product's own outbox in a simulated deployment.

use std::cell::Cell;
use std::rc::Rc;

use eddy::alert::outbox::{AlertFilter, Outbox as Sqlite};
use eddy::types::{Alert, Decision, Receipt};
use tempfile::TempDir;

use crate::process::Store;

pub const SINK: &str = "on_call";

/// The product's own outbox, in memory as far as this machine has such a folder; it can be shut.
pub struct RealOutbox {
    pub sqlite: Sqlite,
    shut: Rc<Cell<bool>>,
    pub refused: u64,
    /// Wall clock.
    pub now: i64,
    _folder: TempDir,
}

impl RealOutbox {
    pub fn new(shut: Rc<Cell<bool>>) -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder");
        let sqlite = Sqlite::open(&folder.path().join("outbox.sqlite"), &[SINK.into()]).expect("it opens");
        RealOutbox { sqlite, shut, refused: 0, now: 0, _folder: folder }
    }
}

impl Store for RealOutbox {
    fn store(&mut self, decisions: &mut Vec<Decision>) -> bool {
        if self.shut.get() {
            self.refused += 1;
            return false;
        }
        let alert = |decision| Alert { decision, receipt: Receipt::default() };
        let alerts: Vec<Alert> = decisions.drain(..).map(alert).collect();
        let stored = self.sqlite.store(&alerts, self.now).expect("it is written");
        assert_eq!(stored.differing, 0, "decided otherwise after a restart");
        true
    }

    fn stored(&self) -> Vec<Decision> {
        let reader = self.sqlite.reader().expect("it opens");
        let page = reader.alerts_page(None, 10_000, &AlertFilter::default()).expect("it is read");
        page.into_iter().map(|stored| stored.alert.decision).collect()
    }
}
