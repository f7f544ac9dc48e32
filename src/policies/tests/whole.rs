//! A set is its rules and its limits: neither comes into force without the other, and its last day ends nobody's work.

use super::super::LimitsCheck;
use super::bundles::Office;
use super::{Active, Desk, Error, FORBID, HERE, PERMIT, Rollback, Site, known_layouts};
use crate::model::Spot;
use crate::policy::{Fault, Source};
use crate::telemetry::Metrics;
use std::sync::{Arc, Mutex};

const GOOD: &str = "[default]\nrate = \"1/second\"\n";
const BAD: &str = "[default]\nrate = \"often\"\n";

fn known_limits() -> LimitsCheck {
    Arc::new(|source: &Source| match source.text.find("often") {
        None => Ok(()),
        Some(at) => {
            let spot = Spot::at(&source.name, &source.text, at);
            Err(vec![Fault { spot, code: "limit", message: "no rate".into(), hint: None }])
        }
    })
}

fn load(desk: &Desk) -> Result<Arc<Active>, Error> {
    Active::load(desk.settings(), Site::of(HERE), known_layouts(), known_limits(), Metrics::new())
}

/// The texts of the limits that it was told of.
fn look(active: &Active) -> Vec<String> {
    let told = Mutex::new(Vec::new());
    active.look(&|limits| told.lock().expect("unpoisoned").push(limits.text.clone()));
    told.into_inner().expect("unpoisoned")
}

fn trouble(active: &Active) -> String {
    active.in_force().trouble.clone().unwrap_or_default()
}

#[test]
fn a_set_whose_limits_are_faulty_never_becomes_active_and_is_not_kept() {
    let desk = Desk::new();
    desk.write("limits.toml", GOOD);
    let active = load(&desk).expect("a set");
    let (good, kept) = (active.set().hash().to_owned(), desk.kept().sets().expect("a list"));
    desk.write("b.cedar", FORBID);
    desk.write("limits.toml", BAD);
    assert_eq!(look(&active), [""; 0], "nor are its limits");
    assert_eq!((active.set().hash(), &*active.limits().text), (&*good, GOOD));
    assert!(trouble(&active).contains("limits.toml:2:9: no rate"), "{}", trouble(&active));
    assert_eq!(desk.kept().sets().expect("a list"), kept);

    let again = load(&desk).expect("the last good set");
    assert_eq!((again.set().hash(), &*again.limits().text), (&*good, GOOD), "a restart goes back to both");
    assert!(trouble(&again).contains("limits.toml:2:9"));
    desk.write("limits.toml", GOOD);
    look(&again);
    assert_ne!(again.set().hash(), good);
    assert_eq!(trouble(&again), "");
}

#[test]
fn limits_alone_that_are_faulty_are_told_and_good_ones_are_there_after_a_restart() {
    let desk = Desk::new();
    desk.write("limits.toml", GOOD);
    let active = load(&desk).expect("a set");
    desk.write("limits.toml", BAD);
    assert_eq!(look(&active), [""; 0]);
    assert!(trouble(&active).contains("limits.toml:2:9"));
    let more = GOOD.replace('1', "2");
    desk.write("limits.toml", &more);
    assert_eq!(look(&active), [more.as_str()]);
    assert_eq!(trouble(&active), "");
    let even_more = GOOD.replace('1', "3");
    desk.write("limits.toml", &even_more);
    assert_eq!(look(&active), [even_more.as_str()]);
    desk.write("a.cedar", "permit (");
    assert_eq!(load(&desk).expect("the last good set").limits().text, even_more, "kept with the limits in force");
}

#[test]
fn a_bundle_whose_limits_are_faulty_leaves_its_version_unused() {
    let office = Office::new();
    office.write("limits.toml", GOOD);
    office.give_out(&["one"]);
    let load = || {
        let settings = office.settings(office.trust(&["one"], 1));
        Active::load(settings, Site::of(HERE), known_layouts(), known_limits(), Metrics::new())
    };
    let active = load().expect("a set");
    office.version(8);
    office.write("limits.toml", BAD);
    office.give_out(&["one"]);
    look(&active);
    assert_eq!(active.in_force().version, 1);
    assert_eq!(load().expect("a restart").in_force().version, 1);
    office.write("limits.toml", GOOD);
    office.give_out(&["one"]);
    look(&active);
    assert_eq!(active.in_force().version, 8, "mended under the same version, which was never active");
}

const OVER: &str = "name = \"acme\"\nversion = 1\nexpires = \"2020-01-01\"\n";

#[test]
fn a_restart_after_the_last_day_goes_on_with_the_set_that_was_in_force_and_takes_up_no_other() {
    let desk = Desk::new();
    desk.write("limits.toml", GOOD);
    desk.write("manifest.toml", OVER);
    assert!(matches!(load(&desk), Err(Error::Over { .. })), "one that comes too late is refused");
    // As if it had come in time.
    let files = super::super::read(&desk.dir()).expect("a folder");
    desk.kept().keep(&files, "acme", 1, 0).expect("kept");
    let active = load(&desk).expect("it goes on");
    assert_eq!((active.in_force().version, &*trouble(&active)), (1, ""));
    assert!(active.is_over(1_800_000_000), "with its alarm");
    active.layouts_changed();
    look(&active);
    assert_eq!(trouble(&active), "", "nor does a layout that was learnt end it");

    desk.write("b.cedar", FORBID);
    look(&active);
    assert!(trouble(&active).contains("a day that is over"), "{}", trouble(&active));
    let again = load(&desk).expect("the last good set");
    assert_eq!(again.set().rules(), 1);
    assert!(trouble(&again).contains("a day that is over") && again.is_over(1_800_000_000));
}

#[test]
fn what_comes_into_force_is_told_with_what_it_followed_and_a_look_that_changes_nothing_is_not() {
    let desk = Desk::new();
    desk.write("limits.toml", GOOD);
    let active = load(&desk).expect("a set");
    let first = active.in_force();
    assert!(active.look(&|_| {}).is_none());
    active.layouts_changed();
    assert!(active.look(&|_| {}).is_none(), "read again, and the same");
    desk.write("b.cedar", FORBID);
    let change = active.look(&|_| {}).expect("another set");
    assert_eq!(
        (change.was.expect("one before").hash.clone(), &change.now.hash),
        (first.hash.clone(), &active.in_force().hash)
    );
    desk.write("limits.toml", &GOOD.replace('1', "2"));
    let change = active.look(&|_| {}).expect("other limits");
    let was = change.was.expect("one before");
    assert!(was.hash == change.now.hash && was.id != change.now.id);
    desk.kept().go_back(&Rollback { to: first.id.clone(), at: 0 }).expect("written");
    let change = active.look(&|_| {}).expect("the first set");
    assert!(change.now.rolled_back && change.now.id == first.id);
    desk.write("a.cedar", &format!("{PERMIT}{PERMIT}"));
    assert!(active.look(&|_| {}).is_none(), "the folder doesn't count");
}

#[test]
fn a_folder_in_the_middle_of_being_written_is_not_taken_for_a_set() {
    let desk = Desk::new();
    desk.write("00-guard.cedar", FORBID);
    let active = desk.load().expect("a set");
    let guarded = active.set().hash().to_owned();
    // As a copy does it: the file is emptied first, and a moment later its text is there.
    let look = |news: &Option<_>| active.look_settled(news, &|_| {});
    desk.write("00-guard.cedar", "");
    let news = active.news();
    assert!(news.is_some());
    desk.write("00-guard.cedar", &format!("// Mended.\n{FORBID}"));
    assert!(look(&news).is_none() && active.set().hash() == guarded, "the guardrail was in force all the time");
    // It may begin to be written between a glance that saw nothing new and the look.
    assert!(look(&None).is_none() && active.set().hash() == guarded);
    let change = look(&active.news()).expect("a change");
    assert!(change.now.hash == active.set().hash() && active.set().hash() != guarded);
    assert_eq!(active.set().rules(), 2);
    assert!(active.news().is_none() && look(&None).is_none(), "nothing changed since");
}
