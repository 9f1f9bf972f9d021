use super::*;
use crate::dashboard::testing::{self, HOSTILE, S, Scene};

const NOW: i64 = 1_700_000_000 * S;

fn state(scene: Scene) -> AppState {
    AppState::at(testing::parts(scene, NOW), NOW)
}

fn page(scene: Scene) -> String {
    render(&state(scene), &PageQuery::default()).unwrap()
}
