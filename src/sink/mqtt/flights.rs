//! What one connection has on its way: which packet id belongs to which message.

use std::collections::{BTreeMap, VecDeque};

/// The library gives packet ids, in the order in which it was asked to publish, and says which as each goes out. The
/// broker may acknowledge in any order.
pub struct Flights<T> {
    /// Asked to be published, without a packet id so far; in order.
    asked: VecDeque<T>,
    sent: BTreeMap<u16, T>,
    /// The packet id that the first of the asked waits for.
    held: Option<u16>,
}

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Flights { asked: VecDeque::new(), sent: BTreeMap::new(), held: None }
    }
}

impl<T> Flights<T> {
    pub fn ask(&mut self, message: T) {
        self.asked.push_back(message);
    }

    /// The one that has waited longest goes out under this id.
    pub fn send(&mut self, pkid: u16) {
        self.held = None;
        if let Some(message) = self.asked.pop_front() {
            self.sent.insert(pkid, message);
        }
    }

    /// It does not go out before what has this id is acknowledged.
    pub fn hold(&mut self, pkid: u16) {
        self.held = Some(pkid);
    }

    pub fn held(&self) -> Option<u16> {
        self.held
    }

    /// What is acknowledged; `None` if nothing is on its way under this id.
    pub fn acknowledge(&mut self, pkid: u16) -> Option<T> {
        self.sent.remove(&pkid)
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.asked.iter().chain(self.sent.values())
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.asked.iter_mut().chain(self.sent.values_mut())
    }

    /// All that nothing will be heard of any more.
    pub fn into_lost(self) -> impl Iterator<Item = T> {
        self.sent.into_values().chain(self.asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_an_id_is_held_until_it_goes_out() {
        let mut flights = Flights::default();
        ["a", "b"].into_iter().for_each(|message| flights.ask(message));
        flights.send(1);
        flights.hold(1);
        assert_eq!((flights.held(), flights.acknowledge(1)), (Some(1), Some("a")));
        flights.send(1);
        assert_eq!((flights.held(), flights.acknowledge(1)), (None, Some("b")));
    }

    #[test]
    fn acks_are_matched_by_packet_id_in_whatever_order_they_come() {
        let mut flights = Flights::default();
        ["a", "b", "c"].into_iter().for_each(|message| flights.ask(message));
        assert_eq!(flights.acknowledge(1), None, "nothing has gone out");
        // Ids begin again at 1 when the library's slots are used up.
        flights.send(64);
        flights.send(1);
        assert_eq!(flights.acknowledge(1), Some("b"));
        assert_eq!(flights.acknowledge(1), None, "an id is acknowledged once");
        flights.ask("d");
        flights.send(2);
        flights.send(1);
        assert_eq!([flights.acknowledge(2), flights.acknowledge(64)], [Some("c"), Some("a")]);
        flights.ask("e");
        assert_eq!(flights.iter().copied().collect::<Vec<_>>(), ["e", "d"]);
        assert_eq!(flights.into_lost().collect::<Vec<_>>(), ["d", "e"]);
    }
}
