//! Who is let in.

use super::*;

const NOW_S: u64 = 1_000_000;

fn address() -> IpAddr {
    IpAddr::from([192, 0, 2, 1])
}

#[test]
fn a_token_is_shown_once_kept_as_a_hash_and_holds_until_it_is_revoked() {
    let dir = tempfile::tempdir().unwrap();
    let access = Access::open(dir.path()).unwrap();
    let folder = folder(dir.path());
    assert!(!access.has_tokens().unwrap());
    // As the command line does it: another reader of the same file.
    let text = Tokens::of(&folder).add("ana", Scope::Feedback, 5).unwrap();
    assert!(text.len() > 40 && text.starts_with("eddy_"), "{text}");
    assert!(access.has_tokens().unwrap(), "seen without a restart");
    let kept = std::fs::read_to_string(folder.join("tokens.json")).unwrap();
    assert!(!kept.contains(&text[5..]), "the token itself is kept");
    let who = access.identify(Some(&text), None, address(), NOW_S).unwrap();
    assert_eq!((who.name.as_str(), who.scope, who.by_cookie), ("ana", Scope::Feedback, false));
    assert!(matches!(Tokens::of(&folder).add("ana", Scope::Admin, 5), Err(AccessError::Taken { .. })));
    let (_, cookie) = access.log_in(&format!(" {text}\n"), address(), NOW_S).unwrap();
    let who = access.identify(None, Some(&cookie), address(), NOW_S + SESSION_S - 1).unwrap();
    assert!(who.by_cookie && who.scope == Scope::Feedback);
    assert!(matches!(access.identify(None, Some(&cookie), address(), NOW_S + SESSION_S), Err(Denied::Wrong)));
    Tokens::of(&folder).revoke("ana").unwrap();
    assert!(access.identify(Some(&text), None, address(), NOW_S).is_err());
    assert!(access.identify(None, Some(&cookie), address(), NOW_S).is_err(), "its sessions end with it");
    assert!(matches!(Tokens::of(&folder).revoke("ana"), Err(AccessError::Unknown { .. })));
    for bad in ["", "a b", "a/b", &"x".repeat(65), "ä"] {
        assert!(Tokens::of(&folder).add(bad, Scope::Read, 5).is_err(), "{bad}");
    }
}

/// As the README says: above 64 MiB, and above 1 MiB.
#[test]
fn a_start_puts_a_large_audit_log_aside_and_leaves_the_last_words() {
    let dir = tempfile::tempdir().unwrap();
    drop(Access::open(dir.path()).unwrap());
    let file = |name: &str| folder(dir.path()).join(name);
    let grow = |bytes: u64| {
        let audit = std::fs::OpenOptions::new().create(true).append(true).open(file("audit.jsonl"));
        audit.unwrap().set_len(bytes).unwrap();
        drop(Access::open(dir.path()).unwrap());
        file("audit.1.jsonl").exists()
    };
    assert!(!grow(64 << 20), "no larger than it may be");
    assert!(grow((64 << 20) + 1) && !file("audit.jsonl").exists());

    let word = r#"{"alert":"a","verdict":"real","reason":"","who":"ana","at_ns":1,"stream":"s","key":"k","start_ns":0,"end_ns":1}"#;
    let words = format!("{word}\n").repeat((1 << 20) / word.len() + 1);
    std::fs::write(file("feedback.jsonl"), words).unwrap();
    let access = Access::open(dir.path()).unwrap();
    assert_eq!(access.feedback().last_words().unwrap().len(), 1);
    assert_eq!(std::fs::read_to_string(file("feedback.jsonl")).unwrap().lines().count(), 1);
}

#[test]
fn bad_tokens_are_limited_by_address_and_good_ones_never() {
    let dir = tempfile::tempdir().unwrap();
    let access = Access::open(dir.path()).unwrap();
    let text = Tokens::of(&folder(dir.path())).add("ana", Scope::Read, 5).unwrap();
    let try_one = || access.identify(Some("eddy_guess"), None, address(), NOW_S);
    assert!((0..10).all(|_| matches!(try_one(), Err(Denied::Wrong))));
    assert!(matches!(try_one(), Err(Denied::TooOften(60))));
    assert!(matches!(access.log_in("eddy_guess", address(), NOW_S), Err(Denied::TooOften(60))));
    assert!(access.identify(Some(&text), None, address(), NOW_S).is_ok());
    assert!(matches!(access.identify(None, None, address(), NOW_S), Err(Denied::Stranger)));
}

#[test]
fn tokens_that_cannot_be_read_let_nobody_in() {
    let dir = tempfile::tempdir().unwrap();
    let access = Access::open(dir.path()).unwrap();
    let text = Tokens::of(&folder(dir.path())).add("ana", Scope::Read, 5).unwrap();
    assert!(access.identify(Some(&text), None, address(), NOW_S).is_ok());
    std::fs::write(folder(dir.path()).join("tokens.json"), "[{\"name\":").unwrap();
    assert!(matches!(access.identify(Some(&text), None, address(), NOW_S), Err(Denied::Broken(_))));
    assert!(access.has_tokens().is_err());
}

#[test]
fn who_can_read_the_data_folder_may_do_everything_for_a_minute() {
    let dir = tempfile::tempdir().unwrap();
    let access = Access::open(dir.path()).unwrap();
    let local = Key::read_or_make(&folder(dir.path())).ok().unwrap().local(NOW_S).0;
    assert_eq!(access.identify(Some(&local), None, address(), NOW_S + 59).unwrap().scope, Scope::Admin);
    assert!(access.identify(Some(&local), None, address(), NOW_S + 60).is_err());
}
