//! What rules take from their house: claims that tokens bring, and the clocks of its places.

use super::*;

#[test]
fn what_the_token_says_is_known_at_the_name_already() {
    let set = set(r#"@id("p") permit (principal, action in Action::"read", resource)
        when { context.claims has department && context.claims.department == "sales" };
        @id("f") forbid (principal, action, resource) when { context.claims has roles && context.claims.roles.contains("temp") };"#);
    assert!(!caller().named(&set), "absent is not equal");
    assert!(!caller().claim("department", &["stock"]).named(&set));
    assert!(caller().claim("department", &["sales"]).of(&set).allowed);
    let temp = caller().claim("department", &["sales"]).claim("roles", &["clerk", "temp"]);
    assert_eq!(temp.of(&set).reason, Reason::Forbidden);
    assert!(!temp.named(&set));
    assert!(caller().claim("department", &["sales"]).claim("roles", &[]).of(&set).allowed);
}

#[test]
fn a_claim_that_nobody_declares_or_of_another_type_is_a_fault() {
    let over = |condition: &str| format!("permit (principal, action, resource) when {{ {condition} }};");
    refused(&over("context.claims has office"), "claim \"office\"");
    refused(&over("context.claims has office"), "the settings let rules see department, roles");
    refused(&over("context.claims.department == \"x\""), "unable to guarantee safety");
    refused(&over("context.claims has roles && context.claims.roles == \"x\""), "t.cedar:1:");
    refused(&over("context.claims == {}"), "as a whole");
    let text = over("context.claims has department");
    let faults = Set::load(&[source(&text)], &Site::of(LOCAL), &layout).expect_err("nothing is declared");
    assert!(faults[0].to_string().contains("add policy_claims"), "{}", faults[0]);
}

const OFFICE: &str = r#"@id("hours") permit (principal, action in Action::"read", resource)
when { context.local_minute >= 480 && context.local_minute < 1020 && context.local_weekday <= 5 };
@id("pause") forbid (principal == Client::"demo", action, resource in Program::"CRS610MI") when { context.local_minute == 720 };"#;

#[test]
fn hours_of_a_place_follow_its_clock_over_both_changes() {
    let set = set(OFFICE);
    let at = |moment: &str| {
        let at: jiff::Timestamp = moment.parse().expect("a moment");
        Try { now: at.as_second() as u64, ..caller() }.of(&set)
    };
    // Friday and Monday around the change to summer time, then around the change back.
    for (moment, allowed) in [
        ("2026-03-27T06:59:59Z", false),
        ("2026-03-27T07:00:00Z", true),
        ("2026-03-30T05:59:59Z", false),
        ("2026-03-30T06:00:00Z", true),
        ("2026-10-23T06:00:00Z", true),
        ("2026-10-26T06:59:59Z", false),
        ("2026-10-26T07:00:00Z", true),
        ("2026-10-26T15:59:59Z", true),
        ("2026-10-26T16:00:00Z", false),
        // Friday evening in UTC, and Saturday there.
        ("2026-10-23T22:30:00Z", false),
    ] {
        assert_eq!(at(moment).allowed, allowed, "{moment}");
    }
    assert_eq!(at("2026-10-26T11:00:30Z").reason, Reason::Forbidden);
}

#[test]
fn without_a_zone_neither_a_permit_nor_a_forbid_over_local_time_is_guessed() {
    let set = set(OFFICE);
    let decision = caller().company(200).of(&set);
    assert_eq!((decision.reason, &*decision.rules), (Reason::NoZone, &["hours".into(), "pause".into()][..]));
    assert_eq!(set.warnings(), []);
    let nowhere = Set::load(&[source(OFFICE)], &Site::of(LOCAL), &layout).expect("a set");
    assert_eq!(nowhere.warnings().iter().map(|fault| fault.code).collect::<Vec<_>>(), ["no-zone", "no-zone"]);
    let never = self::set("permit (principal, action, resource) when { context.local_minute < 0 };");
    assert!(
        never.review((&[], &layout), Default::default(), NOW).iter().any(|found| found.fault.code == "never-fires")
    );
}
