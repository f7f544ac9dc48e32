//! The decision of the few rules that are asked, held against that of all of them by Cedar alone.

use super::super::context::context;
use super::super::judge::{Bench, Case};
use super::super::narrow::entities;
use super::super::plain::{Guard, Seen};
use super::super::reads::Reads;
use super::super::rule::Rule;
use super::super::scope::Target;
use super::super::{Zones, schema};
use super::*;
use cedar_policy::{Entities, Request, Schema};
use std::cell::Cell;

/// The zones of the site, and UTC where it has none.
pub(super) fn everywhere() -> Zones {
    let mut zones = site().zones;
    assert!(zones.set("default", TimeZone::UTC));
    zones
}

/// The same decision without any of our shortcuts: every rule, every attribute, the client's own name.
pub(super) fn whole(set: &Set, schema: &Schema, ask: &Try) -> Option<Decision> {
    let rules = &set.book.rules;
    let typed = set.typed.get(&(ask.program, ask.transaction));
    let target = Target::new(ask.program, ask.transaction, ask.effect, typed.is_some());
    let named = |rule: &&Rule| ask.effect != Effect::Raw || !rule.permit || rule.scope.names(&target);
    // Nothing is plain: Cedar is asked for every rule.
    let open = Arc::new(Guard::default());
    let all = Bench::new(rules.iter().filter(named).map(|rule| (rule, &rule.policy, &open)))?;
    let mut principals = vec![identity::uid(&identity::TYPES.client, &identity::text(&ask.client, LOCAL))];
    principals.extend(ask.groups.iter().map(|group| identity::uid(&identity::TYPES.group, group)));
    let kinds = typed.cloned().flatten().unwrap_or_default();
    let fact = set.fact(ask.program, ask.transaction).map(|fact| &**fact);
    let record = fact.into_iter().flat_map(|fact| fact.fields());
    let reads = Reads::everything(kinds.keys().copied(), &["department", "roles"], record);
    let context = context(&reads, &kinds, typed.is_some(), fact, &ask.ask(), ask.place, &everywhere()).ok()?;
    let entities = entities(&target, &principals, (ask.program, ask.transaction, ask.effect))?;
    let checked: Vec<_> = entities.iter().filter(|e| *e.uid().type_name() != identity::TYPES.action).cloned().collect();
    let checked = Entities::from_entities(checked, Some(schema)).expect("entities that the schema knows");
    let request = Request::new(principals[0].clone(), target.action, target.resource, context, Some(schema));
    let request = request.expect("a request that the schema knows");
    let seen = Seen::by_name(ask.asker(), ask.program, ask.transaction);
    let request = || Some(request.clone());
    let judged = |entities| set.book.judge(&all, &Case { seen, request: &request, entities, now: Some(ask.now) });
    let ours = judged(&entities);
    assert_eq!(judged(&checked), ours, "our entities and the schema's");
    Some(ours)
}

const MIXED: &str = r#"
@id("g1") forbid (principal, action, resource in Program::"EXPORTMI");
@id("g2") forbid (principal, action in Action::"write", resource) unless { principal in Group::"sales" || resource.technical };
@id("g3") forbid (principal, action, resource) when { context.minute > 1200 && !context.scopes.contains("night") };
@id("g4") forbid (principal in Group::"audit", action, resource in Program::"MNS150MI") when { context.local_minute >= 1260 };
@id("g5") forbid (principal in Group::"sales", action, resource) when { context.claims has department && context.claims.department == "closed" };
@id("p0") permit (principal, action in Action::"read", resource in Program::"CRS610MI") when { context.claims has roles && context.claims.roles.contains("clerk") };
@id("p1") permit (principal in Group::"sales", action in [Action::"read", Action::"write"], resource in Program::"CRS610MI") when { context.company < 200 };
@id("p2") permit (principal == Client::"demo", action in Action::"read", resource) when { resource.name like "Get*" && context.division == "" };
@id("p3") permit (principal == Client::"demo@https://idp", action == Action::"CRS610MI/ChgFinancial", resource) when { context.fields has CRLM && context.fields.CRLM.lessThan(decimal("500.0")) };
@id("p4") @owner("m") @expires("2026-11-23") @lifts("g1,g2") permit (principal in Group::"audit", action == Action::"EXPORTMI/Select", resource) when { context.address.isInRange(ip("10.0.0.0/8")) && context.query.table == "OCUSMA" && !context.query.columns.contains("OKCRLM") };
@id("p5") permit (principal is Client in Group::"audit", action, resource is Transaction in Program::"MNS150MI");
@id("f1") forbid (principal, action == Action::"CRS610MI/ChgFinancial", resource == Transaction::"CRS610MI/ChgFinancial") when { context.fields has CUNO && context.fields.CUNO == "Y1" };
@id("f2") forbid (principal in Group::"sales", action, resource) when { context.m3_user == "OTHER" || context.weekday == 7 };
"#;

fn tries() -> impl Strategy<Value = Try> {
    let calls = prop::sample::select(vec![
        "CRS610MI/GetBasicData",
        "CRS610MI/ChgFinancial",
        "CRS610MI/GetServerTime",
        "EXPORTMI/Select",
        "EXPORTMI/SelectPad",
        "MNS150MI/CheckPIN",
        "MNS150MI/LstUserData",
    ]);
    let groups = prop::sample::subsequence(vec!["sales", "audit", "nobody"], 0..=3);
    let client = prop::sample::select(vec![("demo", LOCAL), ("demo", "https://idp"), ("other", LOCAL)]);
    let limit = prop::option::of(prop::sample::select(vec!["499", "500", "?"]));
    let customer = prop::option::of(prop::sample::select(vec!["Y1", "Y2"]));
    let times = prop::sample::select(vec![NOW, NOW + 4 * 3600, NOW + 86_400, NOW + 6 * 86_400]);
    let department = prop::option::of(prop::sample::select(vec!["closed", "open"]));
    let roles = prop::option::of(prop::sample::subsequence(vec!["clerk", "boss"], 0..=2));
    let rest = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), times, department, roles);
    (calls, groups, client, limit, customer, rest).prop_map(
        |(call, groups, (id, issuer), limit, customer, (here, night, central, ours, now, department, roles))| {
            let mut ask = caller().client(id, issuer).call(call).company(if here { 100 } else { 200 });
            ask.groups = groups.into_iter().map(Into::into).collect();
            ask.scopes = if night { vec!["night".into()] } else { Vec::new() };
            ask.place.division = Division::parse(if central { "" } else { "AAA" }).expect("a division");
            ask.address = if ours { IpAddr::from([10, 0, 0, 1]) } else { IpAddr::from([192, 0, 2, 1]) };
            ask.now = now;
            ask = department.into_iter().fold(ask, |ask, name| ask.claim("department", &[name]));
            ask = roles.into_iter().fold(ask, |ask, roles| ask.claim("roles", &roles));
            if call.starts_with("EXPORTMI") {
                ask = ask.with("QERY", if here { "OKCUNO from OCUSMA" } else { "OKPWMT from CIDMAS" });
            }
            if call.ends_with("ChgFinancial") {
                ask = limit.into_iter().fold(ask, |ask, limit| ask.with("CRLM", limit));
                ask = customer.into_iter().fold(ask, |ask, customer| ask.with("CUNO", customer));
            }
            ask
        },
    )
}

/// Conditions of every kind that is answered without Cedar, some that are not, and one that fails.
fn condition() -> impl Strategy<Value = String> {
    let plain = prop::sample::select(vec![
        "context.company == 100",
        "200 <= context.company",
        "context.company != 200",
        "[100, 300].contains(context.company)",
        "context.division == \"AAA\"",
        "[\"\", \"BBB\"].contains(context.division)",
        "context.minute >= 1200",
        "context.weekday < 7",
        "context.local_minute > 1139",
        "context.local_weekday == 1",
        "context.address.isInRange(ip(\"10.0.0.0/8\"))",
        "context.address.isInRange(ip(\"0.0.0.0/0\"))",
        "context.address.isInRange(ip(\"192.0.2.1\"))",
        "context.address.isInRange(ip(\"2001:db8::/33\"))",
        "context.scopes.contains(\"night\")",
        "context.scopes.containsAny([\"day\", \"night\"])",
        "context.scopes.containsAll([\"day\", \"night\"])",
        "context.claims has roles",
        "(context.claims has department && context.claims.department == \"closed\")",
        "(context.claims has roles && context.claims.roles.contains(\"boss\"))",
        "resource.technical",
        "resource.customer_made",
        "resource.program == \"CRS610MI\"",
        "context.m3_user == \"MIGATE\"",
        "context.m3_user like \"M*G*E\"",
        "context.division like \"*\"",
        "resource.name like \"*Data\"",
        "resource.program like \"CRS*MI*\"",
        "true",
    ]);
    let cedars = prop::sample::select(vec![
        "principal in Group::\"audit\"",
        "context.address.isLoopback()",
        "context.company + 9223372036854775807 == 0",
        "(if context.company == 100 then true else context.minute == 1080)",
    ]);
    let one = prop_oneof![6 => plain, 1 => cedars].prop_map(str::to_owned);
    one.prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left} && {right})")),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left} || {right})")),
            inner.prop_map(|part| format!("!({part})")),
        ]
    })
}

fn rules() -> impl Strategy<Value = String> {
    let heads = prop::sample::select(vec![
        "permit (principal, action in [Action::\"read\", Action::\"write\"], resource)",
        "permit (principal == Client::\"demo\", action in Action::\"read\", resource in Program::\"CRS610MI\")",
        "forbid (principal in Group::\"sales\", action, resource)",
        "forbid (principal, action, resource)",
    ]);
    let clause = (any::<bool>(), condition());
    let rule = (heads, prop::collection::vec(clause, 0..3), any::<bool>()).prop_map(|(head, clauses, lifts)| {
        let clause = |(when, text): (bool, String)| format!(" {} {{ {text} }}", if when { "when" } else { "unless" });
        let lifting = lifts && head.starts_with("permit (principal ==");
        let lifting = if lifting { "@owner(\"o\") @expires(\"2026-11-25\") @lifts(\"base\") " } else { "" };
        format!("{lifting}{head}{};\n", clauses.into_iter().map(clause).collect::<String>())
    });
    let base = "@id(\"base\") forbid (principal, action, resource) when { context.company == 200 };\n";
    prop::collection::vec(rule, 1..6).prop_map(move |rules| {
        let numbered = rules.iter().enumerate().map(|(at, rule)| format!("@id(\"r{at}\") {rule}"));
        base.to_owned() + &numbered.collect::<String>()
    })
}

#[test]
fn what_is_answered_without_cedar_is_cedars_answer() {
    let addresses = ["10.0.0.1", "192.0.2.1", "::ffff:10.0.0.1", "2001:db8::1", "2001:db8:8000::1", "127.0.0.1"];
    let address = prop::sample::select(addresses.to_vec());
    let (allowed, failed) = (Cell::new(0), Cell::new(0));
    proptest!(ProptestConfig::with_cases(400), |(text in rules(), asks in prop::collection::vec((tries(), address), 12))| {
        let set = Set::load(&[source(&text)], &Site { zones: everywhere(), ..site() }, &layout);
        let set = set.unwrap_or_else(|faults| panic!("{text}{}", faults[0]));
        let schema = schema::schema(&set.typed, &set.facts, &set.site.claims).expect("the schema of the set");
        for (mut ask, address) in asks {
            ask.address = address.parse().expect("an address");
            let whole = whole(&set, &schema, &ask).expect("a context");
            let ours = set.decide(&ask.ask());
            allowed.set(allowed.get() + usize::from(ours.allowed));
            failed.set(failed.get() + usize::from(ours.reason == Reason::EvaluationError));
            // Without a permit in sight the others aren't asked.
            let settled = ours.reason == Reason::NoPermit && !whole.allowed;
            prop_assert!(settled || ours == whole, "{text}\n{ask:?}\n{ours:?}\n{whole:?}");
        }
    });
    let (allowed, failed) = (allowed.get(), failed.get());
    assert!(allowed > 200 && failed > 20, "{allowed} allowed and {failed} failed: too few to say anything");
}

#[test]
fn a_sliced_decision_is_the_whole_sets_decision() {
    let set = set(MIXED);
    let schema = schema::schema(&set.typed, &set.facts, &set.site.claims).expect("the schema of the set");
    proptest!(ProptestConfig::with_cases(1_500), |(ask in tries())| {
        let sliced = ask.of(&set);
        let whole = whole(&set, &schema, &ask).expect("a context");
        if let Reason::ValueNotComparable(_) = sliced.reason {
            prop_assert!(ask.inputs.iter().any(|input| input.value == Value::Cleared));
        } else if sliced.reason == Reason::NoZone {
            prop_assert!(ask.place.company.number() == 200 && sliced.rules.contains(&"g4".into()));
        } else if sliced.reason == Reason::NoPermit && whole.reason == Reason::Forbidden {
            // Without a permit in sight the forbids aren't asked.
            prop_assert!(!whole.allowed);
        } else {
            prop_assert_eq!(sliced, whole);
        }
    });
}

#[test]
fn what_is_asked_beside_others_counts_only_where_its_own_plain_conditions_hold() {
    let rule = |id: &str, head: &str, company: u16, rest: &str| {
        format!(
            "@id(\"{id}\") {head} (principal, action, resource) when {{ context.company == {company} }} when {{ {rest} }};"
        )
    };
    let (holds, fails) = ("context.address.isLoopback() || true", "context.company + 9223372036854775807 == 0");
    let set = set(&[
        rule("a", "permit", 100, holds),
        rule("b", "permit", 100, holds),
        rule("c", "permit", 200, fails),
        rule("d", "forbid", 200, holds),
        rule("e", "forbid", 300, holds),
        rule("f", "forbid", 300, holds),
        rule("g", "permit", 300, holds),
    ]
    .concat());
    let decided = |company| {
        let decision = caller().company(company).of(&set);
        (decision.reason, decision.rules.iter().map(ToString::to_string).collect::<Vec<_>>().concat())
    };
    assert_eq!(decided(100), (Reason::Allowed, "ab".to_owned()));
    assert_eq!(decided(200), (Reason::EvaluationError, "c".to_owned()));
    assert_eq!(decided(300), (Reason::Forbidden, "ef".to_owned()));
}
