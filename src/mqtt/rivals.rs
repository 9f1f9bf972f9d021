//! Whether another client has our id: a broker ends the older connection of the two, and both come back for ever.

use std::time::Duration;

use super::Fault;
use super::reasons::{explain, rival};
use crate::config::plan::{BrokerPlan, Version};
use crate::status::Rival;

/// A connection that was ended earlier was hardly used. Whoever was put out comes back within seconds.
const SHORT: Duration = Duration::from_secs(60);
/// So many of them in a row are no accident.
const IN_A_ROW: u32 = 3;

pub struct Rivals {
    short: u32,
    shown: Rival,
}

impl Rivals {
    pub fn new(shown: Rival) -> Self {
        Rivals { short: 0, shown }
    }

    /// A connection was made. Who is there still ends it soon; if it stands, nobody is.
    pub fn made(&self) {
        self.shown.expire_in(SHORT);
    }

    /// No connection was made, or it ended by what was sent or by silence: nobody was put out, and what keeps Eddy from the
    /// broker is something else.
    pub fn unmade(&mut self) {
        self.short = 0;
        self.shown.expire_in(Duration::ZERO);
    }

    /// Why a connection ended that had `lasted`. MQTT 5 has a word for it; in 3.1.1, and with brokers that do not use the word
    /// (Mosquitto 2.0.11 was seen not to), the broker closes, as it does for other reasons, and only that it does so again and
    /// again tells.
    pub fn ended(
        &mut self,
        broker: &BrokerPlan,
        version: Version,
        lasted: Duration,
        fault: &Fault,
    ) -> String {
        let is_closed = matches!(fault, Fault::Closed | Fault::Broken(_));
        self.short = if is_closed && lasted < SHORT { self.short + 1 } else { 0 };
        let reason = match fault {
            Fault::TakenOver => explain(broker, version, fault),
            _ if self.short >= IN_A_ROW => rival(broker),
            _ => {
                if self.short == 0 {
                    self.unmade();
                }
                return explain(broker, version, fault);
            }
        };
        self.shown.notice(reason.clone());
        reason
    }

    pub fn are_there(&self) -> bool {
        self.shown.lately().is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const NOW: Duration = Duration::from_secs(1);

    fn broker() -> BrokerPlan {
        let (host, client_id) = ("b".to_owned(), "eddy".to_owned());
        BrokerPlan { host, port: 1883, tls: None, client_id, username: None, password: None }
    }

    /// Whether a rival is spoken of after connections of 3.1.1 that ended so.
    fn is_suspected(ends: &[(Duration, Fault)]) -> bool {
        let shown = Rival::default();
        let mut rivals = Rivals::new(shown.clone());
        let said =
            ends.iter().map(|(lasted, fault)| rivals.ended(&broker(), Version::V3, *lasted, fault)).last();
        assert_eq!(shown.lately().is_some(), rivals.are_there());
        assert_eq!(shown.lately().is_some(), said.is_some_and(|said| said.contains("again and again")));
        rivals.are_there()
    }

    #[test]
    fn connections_that_are_closed_right_after_they_were_made_are_a_rivals_doing() {
        let closed = || (NOW, Fault::Closed);
        assert!(is_suspected(&[closed(), closed(), closed()]));
        assert!(!is_suspected(&[closed(), closed()]));
        assert!(!is_suspected(&[closed(), closed(), (SHORT, Fault::Closed)]), "it was of use");
        assert!(!is_suspected(&[closed(), (NOW, Fault::Silent), closed(), closed()]), "the network");
    }

    #[test]
    fn a_broker_that_goes_away_in_between_is_restarted() {
        let mut rivals = Rivals::new(Rival::default());
        for _ in 0..3 {
            rivals.ended(&broker(), Version::V3, NOW, &Fault::Closed);
            rivals.unmade();
        }
        assert!(!rivals.are_there());
    }

    /// What is wrong then has another remedy, and the page shows one.
    #[test]
    fn nobody_is_spoken_of_who_is_not_what_keeps_it_from_the_broker() {
        let is_told_after = |what: fn(&mut Rivals)| {
            let mut rivals = Rivals::new(Rival::default());
            rivals.ended(&broker(), Version::V5, NOW, &Fault::TakenOver);
            assert!(rivals.are_there());
            what(&mut rivals);
            rivals.are_there()
        };
        assert!(!is_told_after(Rivals::unmade), "the broker is away");
        assert!(!is_told_after(|rivals| drop(rivals.ended(&broker(), Version::V5, NOW, &Fault::Silent))));
        assert!(!is_told_after(|rivals| drop(rivals.ended(&broker(), Version::V5, SHORT, &Fault::Closed))));
        assert!(is_told_after(|rivals| drop(rivals.ended(&broker(), Version::V5, NOW, &Fault::Closed))));
        assert!(is_told_after(|rivals| rivals.made()), "it may come back still");
    }

    #[test]
    fn a_connection_that_stands_has_no_rival() {
        let mut rivals = Rivals::new(Rival::default());
        let is_told_when_it_stands = |rivals: &Rivals| rivals.shown.at(Instant::now() + SHORT).is_some();
        rivals.ended(&broker(), Version::V5, NOW, &Fault::TakenOver);
        assert!(is_told_when_it_stands(&rivals));
        rivals.made();
        assert!(!is_told_when_it_stands(&rivals));
        rivals.ended(&broker(), Version::V5, NOW, &Fault::TakenOver);
        assert!(is_told_when_it_stands(&rivals), "it has come back");
    }

    #[test]
    fn mqtt_5_may_say_so_at_once_and_another_word_of_it_is_not_taken_for_that() {
        let mut rivals = Rivals::new(Rival::default());
        let dismissed = Fault::Dismissed("KeepAliveTimeout".to_owned());
        (0..5).for_each(|_| drop(rivals.ended(&broker(), Version::V5, NOW, &dismissed)));
        assert!(!rivals.are_there());
        let said = rivals.ended(&broker(), Version::V5, NOW, &Fault::TakenOver);
        assert!(rivals.are_there() && said.contains("another `client_id`"), "{said}");
    }
}
