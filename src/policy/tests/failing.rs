//! Rules that fail while they are asked. Cedar passes over such a rule, and a forbid that is passed over forbids nothing.

use super::super::context::context;
use super::super::narrow::entities;
use super::super::reads::Reads;
use super::super::scope::Target;
use super::sliced::everywhere;
use super::*;
use cedar_policy::{Authorizer, PolicySet, Request};
use std::cell::Cell;

const MOST: i64 = i64::MAX;

/// Sums and products of what a call brings, of which some are too large; comparisons of decimals and networks with them.
fn condition() -> impl Strategy<Value = String> {
    let number = prop::sample::select(vec![
        "context.company",
        "context.minute",
        "context.weekday",
        "context.local_minute",
        "(if context.claims has department then 9223372036854775807 else 1)",
        "(if context.fields has CUNO then 3 else 9223372036854775807)",
    ]);
    let other =
        prop::sample::select(vec![0, 1, -1, 100, MOST / 100, MOST / 150, MOST / 1_080, MOST - 100, MOST, -MOST]);
    let sum = (number, prop::sample::select(vec!["+", "-", "*"]), other, any::<bool>()).prop_map(
        |(number, sign, other, minus)| {
            let sum = format!("{number} {sign} {other}");
            if minus { format!("-({sum})") } else { format!("({sum})") }
        },
    );
    let compared = (sum, prop::sample::select(vec!["==", "<", ">=", "!="]), prop::sample::select(vec![0, 100, MOST]))
        .prop_map(|(sum, relation, right)| format!("{sum} {relation} {right}"));
    let others = prop::sample::select(vec![
        "context.fields has CRLM && context.fields.CRLM.lessThan(decimal(\"922337203685477.5807\"))",
        "context.fields has CRLM && context.fields.CRLM.greaterThan(decimal(\"-0.0001\"))",
        "context.address.isInRange(ip(\"::/0\"))",
        "context.address.isIpv4() && context.company * 9223372036854775807 == 0",
        "context.claims has roles && context.claims.roles.containsAll([\"boss\", \"clerk\"])",
        "context.cleared.contains(\"CUNO\")",
        "context.company == 100",
    ]);
    let one = prop_oneof![3 => compared, 1 => others.prop_map(str::to_owned)];
    let paired = |joint| (condition_leaf(), joint, condition_leaf());
    prop_oneof![
        3 => one,
        1 => paired(prop::sample::select(vec!["&&", "||"])).prop_map(|(a, joint, b)| format!("({a}) {joint} ({b})")),
    ]
}

fn condition_leaf() -> impl Strategy<Value = String> {
    (1..4_i64, prop::sample::select(vec!["company", "minute", "weekday"]), any::<bool>())
        .prop_map(|(times, name, over)| format!("context.{name} * {} > 0", if over { MOST / times } else { times }))
}

fn rules() -> impl Strategy<Value = String> {
    let heads = prop::sample::select(vec![
        "forbid (principal, action, resource)",
        "forbid (principal == Client::\"demo\", action == Action::\"CRS610MI/ChgFinancial\", resource)",
        "permit (principal, action == Action::\"CRS610MI/ChgFinancial\", resource)",
    ]);
    // Fields are known only to rules that name the transaction.
    let rule = (heads, condition(), any::<bool>()).prop_map(|(head, body, when)| {
        let named = head.contains("ChgFinancial");
        let body = if named { body } else { body.replace("context.fields has CUNO", "context.company == 100") };
        let typed = body.contains("context.fields") || body.contains("context.cleared");
        let body = if typed && !named { "context.minute * 9223372036854775807 == 0".to_owned() } else { body };
        format!("{head} {} {{ {body} }};\n", if when { "when" } else { "unless" })
    });
    prop::collection::vec(rule, 1..5).prop_map(|rules| {
        let all =
            "@id(\"all\") permit (principal, action in [Action::\"read\", Action::\"write\"], resource);\n".to_owned();
        all + &rules.iter().enumerate().map(|(at, rule)| format!("@id(\"r{at}\") {rule}")).collect::<String>()
    })
}

fn asks() -> impl Strategy<Value = Try> {
    let limit = prop::option::of(prop::sample::select(vec!["0", "-1", "999999999999.9999", "?", "12345678901234567"]));
    let customer = prop::option::of(prop::sample::select(vec!["Y1", "?"]));
    let address = prop::sample::select(vec!["10.0.0.1", "::ffff:10.0.0.1", "2001:db8::1", "::1"]);
    let claims = (any::<bool>(), prop::option::of(prop::sample::subsequence(vec!["clerk", "boss"], 0..=2)));
    let times = prop::sample::select(vec![0, NOW, NOW + 4 * 3_600, u64::from(u32::MAX)]);
    (limit, customer, address, claims, times, any::<bool>()).prop_map(
        |(limit, customer, address, (department, roles), now, here)| {
            let mut ask = caller().call("CRS610MI/ChgFinancial").company(if here { 100 } else { 999 });
            (ask.now, ask.address) = (now, address.parse().expect("an address"));
            ask = customer.into_iter().fold(ask, |ask, customer| ask.with("CUNO", customer));
            ask = limit.into_iter().fold(ask, |ask, limit| ask.with("CRLM", limit));
            ask = if department { ask.claim("department", &["x"]) } else { ask };
            roles.into_iter().fold(ask, |ask, roles| ask.claim("roles", &roles))
        },
    )
}

/// The names of the rules that fail, when Cedar is asked for every one with everything there is. `None`: a value can't be
/// put before rules at all.
fn failing(set: &Set, ask: &Try) -> Option<Vec<String>> {
    let typed = set.typed.get(&(ask.program, ask.transaction)).cloned().flatten();
    let target = Target::new(ask.program, ask.transaction, ask.effect, typed.is_some());
    let kinds = typed.clone().unwrap_or_default();
    let reads = Reads::everything(kinds.keys().copied(), &["department", "roles"], []);
    let context = context(&reads, &kinds, typed.is_some(), None, &ask.ask(), ask.place, &everywhere()).ok()?;
    let whom = vec![identity::uid(&identity::TYPES.client, &identity::text(&ask.client, LOCAL))];
    let entities = entities(&target, &whom, (ask.program, ask.transaction, ask.effect))?;
    let request = Request::new(whom[0].clone(), target.action, target.resource, context, None).expect("a request");
    let all = PolicySet::from_policies(set.book.rules.iter().map(|rule| rule.policy.clone())).expect("a set");
    let answer = Authorizer::new().is_authorized(&request, &all, &entities);
    let failed = answer.diagnostics().errors().map(|cedar_policy::AuthorizationError::PolicyEvaluationError(error)| {
        let rule = set.book.rules.iter().find(|rule| rule.policy.id() == error.policy_id());
        rule.expect("a rule of the set").id.to_string()
    });
    let mut failed: Vec<String> = failed.collect();
    failed.sort();
    Some(failed)
}

#[test]
fn where_any_rule_fails_nothing_is_allowed_and_the_rule_is_named() {
    let (failed, allowed, sets) = (Cell::new(0), Cell::new(0), Cell::new(0));
    proptest!(ProptestConfig::with_cases(400), |(text in rules(), asks in prop::collection::vec(asks(), 8))| {
        let set = Set::load(&[source(&text)], &Site { zones: everywhere(), ..site() }, &layout);
        // A validator that sees more than it does today may refuse some of these sets.
        let Ok(set) = set else { return Ok(()) };
        sets.set(sets.get() + 1);
        for ask in asks {
            let ours = set.decide(&ask.ask());
            let Some(theirs) = failing(&set, &ask) else {
                prop_assert!(!ours.allowed || theirs_are_not_read(&text), "{text}\n{ask:?}\n{ours:?}");
                continue;
            };
            if theirs.is_empty() {
                prop_assert!(ours.reason != Reason::EvaluationError, "{text}\n{ask:?}\n{ours:?}");
                allowed.set(allowed.get() + usize::from(ours.allowed));
                continue;
            }
            failed.set(failed.get() + 1);
            prop_assert!(!ours.allowed, "{text}\n{ask:?}\n{ours:?}");
            if ours.reason == Reason::EvaluationError {
                let named: Vec<String> = ours.rules.iter().map(ToString::to_string).collect();
                prop_assert_eq!(&named, &theirs, "{}", text);
                prop_assert_eq!(ours.verdict(), "failed");
            }
        }
    });
    let (failed, allowed, sets) = (failed.get(), allowed.get(), sets.get());
    assert!(failed > 200 && allowed > 50 && sets > 200, "{failed} failed and {allowed} allowed in {sets} sets");
}

/// No rule reads the field whose value can't be compared.
fn theirs_are_not_read(text: &str) -> bool {
    !text.contains("CRLM")
}
