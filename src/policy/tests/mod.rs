use super::identity;
use super::{Ask, Asker, Decision, FactValues, Reason, Set, Site, Source};
use crate::model::{
    Claim, ClaimKind, ClientId, Company, DateForm, Division, Effect, FieldKind, FieldLayout, FieldName, Input, Layout,
    M3User, Place, ProgramName, TransactionLayout, TransactionName, Value,
};
use jiff::tz::TimeZone;
use proptest::prelude::*;
use std::net::IpAddr;
use std::sync::Arc;

mod divisions;
mod export;
mod failing;
mod faults;
mod plain;
mod records;
mod site;
mod sliced;

const LOCAL: &str = "https://here";
/// 2026-11-23, a Monday, 18:00 UTC.
const NOW: u64 = 1_795_456_800;

fn source(text: &str) -> Source {
    Source { name: "t.cedar".into(), text: text.into() }
}

/// Company 100 lives in Stockholm, the others nowhere; rules may ask for a department and for roles.
fn site() -> Site {
    let mut site = Site::of(LOCAL);
    site.claims = [("department", ClaimKind::Text), ("roles", ClaimKind::Set)].map(|(n, k)| (n.into(), k)).into();
    assert!(site.zones.set("100", TimeZone::get("Europe/Stockholm").expect("a zone")));
    site
}

fn layout(program: ProgramName, name: TransactionName) -> Option<Arc<TransactionLayout>> {
    let mut output = None;
    let fields: &[(&str, FieldKind, u16)] = match (program.as_str(), name.as_str()) {
        ("CRS610MI", "ChgFinancial") => {
            const A: FieldKind = FieldKind::Alphanumeric;
            &[("CUNO", A, 10), ("CRLM", FieldKind::Number, 17), ("BLDT", FieldKind::Date, 8), ("DIVI", A, 3)]
        }
        ("MNS150MI", "CpyUsrPerCmpDiv") => &[
            ("USID", FieldKind::Alphanumeric, 10),
            ("CCMP", FieldKind::Number, 3),
            ("CDIV", FieldKind::Alphanumeric, 3),
            ("DIVI", FieldKind::Alphanumeric, 3),
        ],
        ("MNS150MI", "SelUsers") => {
            output = Some("DIVI");
            &[("FDIV", FieldKind::Alphanumeric, 3), ("TDIV", FieldKind::Alphanumeric, 3)]
        }
        ("EXPORTMI", _) => &[("QERY", FieldKind::Alphanumeric, 982), ("SEPC", FieldKind::Alphanumeric, 1)],
        ("OIS100MI", "Confirm") => &[("ORNO", FieldKind::Alphanumeric, 10)],
        ("CRS610MI", _) => &[("CUNO", FieldKind::Alphanumeric, 10), ("DIVI", FieldKind::Alphanumeric, 3)],
        _ => return None,
    };
    let field = |name: &str, kind: FieldKind, length: u16| FieldLayout {
        name: FieldName::parse(name).expect("a field of the test"),
        kind,
        from: 16,
        length,
        mandatory: false,
        description: "".into(),
    };
    let input = fields.iter().map(|(name, kind, length)| field(name, *kind, *length)).collect();
    let multi = output.is_some();
    let output = output.map(|name| field(name, FieldKind::Alphanumeric, 3)).into_iter().collect();
    Some(Arc::new(TransactionLayout {
        program,
        name,
        description: "".into(),
        multi,
        input: Layout::new(input),
        output: Layout::new(output),
    }))
}

fn set(text: &str) -> Set {
    Set::load(&[source(text)], &site(), &layout).unwrap_or_else(|faults| panic!("{}", faults[0]))
}

#[track_caller]
fn faults(text: &str) -> Vec<String> {
    let faults = Set::load(&[source(text)], &site(), &layout).expect_err("a set with faults");
    faults.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn refused(text: &str, because: &str) {
    let faults = faults(text);
    assert!(faults.iter().any(|fault| fault.contains(because)), "{faults:#?}");
}

/// One ask, written briefly: `caller().call("CRS610MI/ChgFinancial").with("CRLM", "5000")`.
#[derive(Debug, Clone)]
struct Try {
    client: ClientId,
    groups: Vec<Box<str>>,
    scopes: Vec<Box<str>>,
    claims: Vec<Claim>,
    program: ProgramName,
    transaction: TransactionName,
    effect: Effect,
    place: Place,
    user: M3User,
    layout: Arc<TransactionLayout>,
    inputs: Vec<Input>,
    record: Option<FactValues>,
    address: IpAddr,
    now: u64,
}

fn caller() -> Try {
    let (program, transaction) = identity::pair("CRS610MI/GetBasicData").expect("a transaction");
    Try {
        client: ClientId { issuer: LOCAL.into(), id: "demo".into() },
        groups: Vec::new(),
        scopes: Vec::new(),
        claims: Vec::new(),
        program,
        transaction,
        effect: Effect::Read,
        place: Place { company: Company::new(100).expect("a company"), division: Division::BLANK },
        user: M3User::parse("MIGATE").expect("a user"),
        layout: layout(program, transaction).expect("a layout"),
        inputs: Vec::new(),
        record: None,
        address: IpAddr::from([10, 0, 0, 1]),
        now: NOW,
    }
}

impl Try {
    fn call(mut self, text: &str) -> Self {
        (self.program, self.transaction) = identity::pair(text).expect("a transaction of the test");
        self.effect = Effect::of(self.program, self.transaction);
        if let Some(layout) = layout(self.program, self.transaction) {
            self.layout = layout;
        }
        self
    }

    fn with(mut self, field: &str, given: &str) -> Self {
        let name = FieldName::parse(field).expect("a field name");
        let at = self.layout.input.position(name).expect("a field of the layout");
        let value = Value::parse(&self.layout.input.fields()[at], given, DateForm::Ymd8).expect("a value");
        self.inputs.push(Input { at: at as u16, value: value.expect("not blank") });
        self
    }

    fn company(mut self, company: u16) -> Self {
        self.place.company = Company::new(company).expect("a company");
        self
    }

    fn group(mut self, group: &str) -> Self {
        self.groups.push(group.into());
        self
    }

    fn claim(mut self, name: &str, texts: &[&str]) -> Self {
        let kind = site().claims[name];
        let texts = texts.iter().map(|text| (*text).into()).collect();
        self.claims.push(Claim::new(name.into(), kind, texts).expect("a claim"));
        self
    }

    fn client(mut self, id: &str, issuer: &str) -> Self {
        self.client = ClientId { issuer: issuer.into(), id: id.into() };
        self
    }

    fn asker(&self) -> Asker<'_> {
        Asker { client: &self.client, groups: &self.groups, scopes: &self.scopes, claims: &self.claims }
    }

    fn ask(&self) -> Ask<'_> {
        Ask {
            asker: self.asker(),
            program: self.program,
            transaction: self.transaction,
            effect: self.effect,
            place: self.place,
            m3_user: &self.user,
            layout: &self.layout,
            inputs: &self.inputs,
            record: self.record.as_ref(),
            address: self.address,
            unix_seconds: self.now,
        }
    }

    fn of(&self, set: &Set) -> Decision {
        let first = set.decide(&self.ask());
        // A remembered decision is the decision.
        assert_eq!(set.decide(&self.ask()), first);
        if first.allowed {
            assert!(self.named(set), "allowed by value, so allowed by name");
        }
        first
    }

    fn named(&self, set: &Set) -> bool {
        set.may_name(self.asker(), self.program, self.transaction, self.effect)
    }
}

const READS: &str = r#"@id("reads") permit (principal == Client::"demo", action in Action::"read", resource in Program::"CRS610MI")
when { context.company == 100 };"#;

#[test]
fn what_no_rule_permits_is_refused_before_anything_is_asked() {
    let set = set(READS);
    assert!(set.may_call_anything(caller().asker()));
    assert!(!set.may_call_anything(caller().client("other", LOCAL).asker()));
    assert!(caller().of(&set).allowed);
    assert_eq!(caller().company(200).of(&set).reason, Reason::NoPermit);
    assert!(caller().company(200).named(&set), "the company isn't known by name");
    assert!(!caller().call("CRS610MI/ChgFinancial").named(&set));
    assert!(!caller().call("MMS200MI/GetItmBasic").named(&set));
    assert!(caller().call("CRS610MI/GetNothingKnown").named(&set), "the catalog may say that there is no such thing");
}

#[test]
fn the_same_id_of_another_issuer_is_another_client() {
    let set = set(READS);
    assert!(!caller().client("demo", "https://elsewhere").of(&set).allowed);
    let theirs = self::set(&READS.replace("\"demo\"", "\"demo@https://elsewhere\""));
    assert!(!caller().of(&theirs).allowed);
    assert!(caller().client("demo", "https://elsewhere").of(&theirs).allowed);
    // An id that looks like the written form of another client is not that client.
    assert!(!caller().client("demo@https://elsewhere", LOCAL).of(&theirs).allowed);
}

const LIMIT: &str = r#"@id("writes") permit (principal in Group::"sales", action in Action::"write", resource in Program::"CRS610MI");
@id("limit") forbid (principal, action == Action::"CRS610MI/ChgFinancial", resource)
when { context.fields has CRLM && context.fields.CRLM.greaterThan(decimal("10000.0")) };"#;

#[test]
fn a_rule_over_a_field_sees_the_value_that_is_sent() {
    let set = set(LIMIT);
    let change = |limit: &str| caller().group("sales").call("CRS610MI/ChgFinancial").with("CRLM", limit);
    assert!(change("10000").of(&set).allowed);
    let over = change("10000.0001").of(&set);
    assert_eq!((over.reason, &*over.rules), (Reason::Forbidden, &["limit".into()][..]));
    assert!(caller().group("sales").call("CRS610MI/ChgFinancial").with("CUNO", "Y1").of(&set).allowed);
}

#[test]
fn a_value_that_a_rule_reads_and_cant_compare_is_refused() {
    let set = set(LIMIT);
    let crlm = FieldName::parse("CRLM").expect("a field name");
    for given in ["0.00001", "9999999999999999", "?"] {
        let decision = caller().group("sales").call("CRS610MI/ChgFinancial").with("CRLM", given).of(&set);
        assert_eq!(decision.reason, Reason::ValueNotComparable(crlm), "{given}");
    }
    let unread = self::set(LIMIT.split('\n').next().expect("the first rule"));
    assert!(caller().group("sales").call("CRS610MI/ChgFinancial").with("CRLM", "0.00001").of(&unread).allowed);
}

#[test]
fn a_rule_may_speak_of_fields_that_are_to_be_blanked() {
    let set = set(r#"@id("w") permit (principal, action == Action::"CRS610MI/ChgFinancial", resource)
        unless { context.cleared.contains("CRLM") };"#);
    let change = |given: &str| caller().call("CRS610MI/ChgFinancial").with("CRLM", given).of(&set).allowed;
    assert!(change("5"));
    assert!(!change("?"));
}

#[test]
fn every_company_that_a_call_names_is_decided() {
    let set = set(r#"@id("w") permit (principal, action in Action::"write", resource) when { context.company == 100 };
        @id("d") permit (principal, action in Action::"read", resource) when { context.division == "AAA" };"#);
    let copy = caller().call("MNS150MI/CpyUsrPerCmpDiv");
    assert!(copy.clone().with("CDIV", "BBB").of(&set).allowed);
    assert!(copy.clone().with("CCMP", "100").of(&set).allowed);
    assert_eq!(copy.clone().with("CCMP", "200").of(&set).reason, Reason::NoPermit);
    assert!(matches!(copy.with("CCMP", "?").of(&set).reason, Reason::ValueNotComparable(_)));

    let mut list = caller().call("MNS150MI/SelUsers");
    list.place.division = Division::parse("AAA").expect("a division");
    assert!(list.clone().with("FDIV", "AAA").with("TDIV", "AAA").of(&set).allowed);
    assert_eq!(list.clone().with("FDIV", "AAA").with("TDIV", "ZZZ").of(&set).reason, Reason::NoPermit);
    assert!(matches!(list.with("FDIV", "AAA").of(&set).reason, Reason::ValueNotComparable(_)));
}

#[test]
fn an_address_inside_ipv6_is_the_address() {
    let set = set(r#"@id("p") permit (principal, action in Action::"read", resource);
        @id("net") forbid (principal, action, resource) unless { context.address.isInRange(ip("10.0.0.0/8")) };"#);
    let from = |address: &str| {
        let address = address.parse().expect("an address");
        Try { address, ..caller() }.of(&set)
    };
    assert!(from("10.1.2.3").allowed);
    assert!(from("::ffff:10.1.2.3").allowed);
    assert_eq!(from("::ffff:192.0.2.1").reason, Reason::Forbidden);
    assert_eq!(from("2001:db8::1").reason, Reason::Forbidden);
}

#[test]
fn hours_are_utc_and_monday_is_one() {
    let set = set(r#"@id("p") permit (principal, action in Action::"read", resource)
        when { context.weekday == 1 && context.minute >= 1080 && context.minute < 1081 };"#);
    let at = |now| Try { now, ..caller() }.of(&set).allowed;
    assert!(at(NOW) && at(NOW + 59));
    assert!(!at(NOW - 1) && !at(NOW + 60) && !at(NOW + 86_400));
}

#[test]
fn scopes_are_known_at_the_name_already() {
    let set = set(r#"@id("p") permit (principal, action in Action::"read", resource)
        when { context.scopes.contains("m3:read") && context.company == 100 };"#);
    assert!(!caller().named(&set));
    assert!(Try { scopes: vec!["m3:read".into()], ..caller() }.of(&set).allowed);
}

const GUARD: &str = r#"@id("guard") forbid (principal, action, resource in Program::"EXPORTMI");
@id("lift") @owner("maria") @expires("2026-11-23") @lifts("guard")
permit (principal == Client::"demo", action in Action::"raw", resource == Transaction::"EXPORTMI/Select")
when { context.company == 100 };"#;

#[test]
fn a_guardrail_is_lifted_by_name_until_the_last_day_is_over() {
    let set = set(GUARD);
    let query = caller().call("EXPORTMI/Select");
    let decision = query.of(&set);
    assert_eq!((decision.allowed, &*decision.rules), (true, &["lift".into()][..]));
    assert_eq!(query.clone().company(200).of(&set).reason, Reason::Forbidden);
    assert_eq!(query.clone().client("other", LOCAL).of(&set).reason, Reason::NoPermit);
    assert_eq!(query.clone().call("EXPORTMI/SelectPad").of(&set).reason, Reason::NoPermit);
    let last_second = NOW - NOW % 86_400 + 86_399;
    assert!(Try { now: last_second, ..query.clone() }.of(&set).allowed);
    assert_eq!(Try { now: last_second + 1, ..query }.of(&set).reason, Reason::Forbidden);
}

#[test]
fn a_permit_of_everything_permits_no_raw_query() {
    let set = set(r#"@id("all") permit (principal, action, resource);"#);
    assert!(caller().of(&set).allowed);
    assert!(!caller().call("EXPORTMI/Select").of(&set).allowed);
    assert!(!caller().call("EXPORTMI/Select").named(&set));
    for word in ["SetLstMaxRec", "CLOSE", "close"] {
        let word = caller().call(&format!("CRS610MI/{word}"));
        assert!(!word.of(&set).allowed && !word.named(&set));
    }
}

#[test]
fn an_expired_permit_permits_nothing() {
    let set = set(r#"@id("p") @expires("2026-11-22") permit (principal, action in Action::"read", resource);"#);
    assert_eq!(caller().of(&set).reason, Reason::NoPermit);
    assert!(Try { now: NOW - 86_400, ..caller() }.of(&set).allowed);
}

#[test]
fn a_rule_over_fields_nobody_knows_refuses_what_it_speaks_of() {
    let set = set(r#"@id("p") permit (principal, action in Action::"write", resource);
        @id("f") forbid (principal, action == Action::"OIS100MI/AddOrderHead", resource) when { context.fields has CUNO && context.fields.CUNO == "X" };"#);
    assert_eq!(set.warnings().len(), 1);
    let decision = caller().call("OIS100MI/AddOrderHead").of(&set);
    assert_eq!((decision.reason, &*decision.rules), (Reason::Unverifiable, &["f".into()][..]));
    assert!(caller().call("OIS100MI/AddText").of(&set).allowed);
}

#[test]
fn an_evaluation_that_fails_is_a_refusal() {
    let set = set(r#"@id("p") permit (principal, action in Action::"read", resource);
        @id("f") forbid (principal, action, resource) when { context.company + 9223372036854775807 == 0 };"#);
    let decision = caller().of(&set);
    assert_eq!((decision.reason, &*decision.rules), (Reason::EvaluationError, &["f".into()][..]));
}

#[test]
fn secrets_are_shown_only_where_a_permit_names_them() {
    let field = |name: &str| FieldName::parse(name).expect("a field name");
    let plain = set(READS);
    let revealing = set(&format!("@reveals(\"PWMT\") {READS}"));
    for (set, shown) in [(&plain, false), (&revealing, true)] {
        let decision = caller().of(set);
        assert_eq!(decision.may_show(field("PWMT"), &site().sensitive), shown);
        assert!(
            decision.may_show(field("CUNM"), &site().sensitive) && !decision.may_show(field("PWM1"), &site().sensitive)
        );
        // The rule has a condition on the company, so the name alone reveals nothing.
        assert!(!set.readable(caller().asker(), caller().program, caller().transaction, field("PWMT")));
        assert!(set.readable(caller().asker(), caller().program, caller().transaction, field("CUNM")));
    }
    let always = set(r#"@reveals("PWMT") permit (principal, action in Action::"read", resource);"#);
    assert!(always.readable(caller().asker(), caller().program, caller().transaction, field("PWMT")));
}
