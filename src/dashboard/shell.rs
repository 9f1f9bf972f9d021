//! What stands around every page: the head with its ways, the tiles, the foot.

use super::AppState;
use super::assets;
use super::doc::Doc;
use super::format::{clock, clock_with_offset};
use super::sampler::Frame;
use super::snapshot::Snapshot;
use super::tiles::Level;

/// The pages, in the order of their links: address and name.
pub const PAGES: [(&str, &str); 6] = [
    ("/", "Overview"),
    ("/alerts", "Alerts"),
    ("/streams", "Streams"),
    ("/keys", "Keys"),
    ("/receivers", "Receivers"),
    ("/model", "Model"),
];

/// Read by `layout.html`.
pub struct Shell<'a> {
    pub status: &'a Doc<'a>,
    pub deployment: &'a str,
    pub version: &'a str,
    pub clock: String,
    /// Part of the assets' addresses, so that a browser's copy never outlives an update.
    pub assets: String,
    pub tiles: Vec<TilePart>,
    /// Address, name, and whether it leads to where one is.
    pub ways: Vec<(&'static str, &'static str, bool)>,
    /// What the tab is called, before the deployment.
    pub title: String,
}

pub struct TilePart {
    pub question: &'static str,
    pub name: &'static str,
    pub at: String,
    pub level: &'static str,
    /// When the first open alert began, for the second tile; empty if none is open.
    pub onset: String,
}

impl<'a> Shell<'a> {
    /// `place`: the address of [`PAGES`] that the page belongs to.
    pub fn of(
        state: &AppState,
        snapshot: &'a Snapshot,
        status: &'a Doc<'a>,
        place: &str,
        title: &str,
    ) -> Self {
        Shell {
            status,
            deployment: &snapshot.deployment,
            version: snapshot.version,
            clock: clock_with_offset(snapshot.time_ns, &state.parts.zone),
            assets: assets::version(),
            tiles: tiles(state, snapshot),
            ways: PAGES.map(|(address, name)| (address, name, address == place)).into(),
            title: title.to_owned(),
        }
    }
}

/// The document that a page's own numbers are in.
pub fn status_doc(frame: &Frame) -> Doc<'_> {
    Doc { root: "status", url: format!("/api/v1/status?seq={}", frame.snapshot.seq), json: &frame.json }
}

fn tiles(state: &AppState, snapshot: &Snapshot) -> Vec<TilePart> {
    let tiles = &snapshot.tiles;
    let clock = |ns| clock(ns, snapshot.time_ns, &state.parts.zone);
    let onset = tiles.first_onset_ns.map_or(String::new(), clock);
    [
        ("Healthy?", "healthy", &tiles.healthy, String::new()),
        ("Broke first?", "first", &tiles.first, onset),
        ("Real?", "real", &tiles.real, String::new()),
        ("Told?", "told", &tiles.told, String::new()),
    ]
    .into_iter()
    .map(|(question, name, tile, onset)| TilePart {
        question,
        name,
        at: format!("tiles.{name}"),
        level: level(tile.level),
        onset,
    })
    .collect()
}

/// As in the API.
fn level(level: Level) -> &'static str {
    match level {
        Level::Normal => "normal",
        Level::Wait => "wait",
        Level::Warn => "warn",
        Level::Firing => "firing",
    }
}
