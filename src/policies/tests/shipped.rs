//! What the shipped rules permit, and what they never do.

use super::*;
use crate::model::Sensitive;

fn decide(set: &Set, group: &str, call: &str, company: u16) -> Decision {
    let (program, transaction) = call.split_once('/').expect("a call of the test");
    let program = ProgramName::parse(program).expect("a program");
    let name = TransactionName::parse(transaction).expect("a transaction");
    let client = ClientId { issuer: HERE.into(), id: "anybody".into() };
    let groups = [group.into()];
    let asker = Asker { client: &client, groups: &groups, scopes: &[], claims: &[] };
    let effect = Effect::of(program, name);
    let (input, output) = (Layout::default(), Layout::default());
    let layout = TransactionLayout { program, name, description: "".into(), multi: false, input, output };
    let decision = set.decide(&Ask {
        asker,
        program,
        transaction: name,
        effect,
        place: Place { company: Company::new(company).expect("a company"), division: Division::BLANK },
        m3_user: &M3User::parse("MIGATE").expect("a user"),
        layout: &layout,
        inputs: &[],
        record: None,
        address: IpAddr::from([127, 0, 0, 1]),
        unix_seconds: 1_795_456_800,
    });
    assert!(!decision.allowed || set.may_name(asker, program, name, effect));
    let secret = FieldName::parse("PWMT").expect("a field");
    assert!(
        !decision.may_show(secret, &Sensitive::default()) && !set.readable(asker, program, name, secret),
        "{call} shows a PIN"
    );
    decision
}

fn embedded() -> Set {
    Set::load(&Files::embedded().cedar, &Site::of(HERE), &*layouts()).unwrap_or_else(|faults| panic!("{}", faults[0]))
}

#[test]
fn the_default_set_has_nothing_to_warn_of() {
    assert_eq!(embedded().warnings(), []);
}

#[test]
fn the_demo_client_reads_and_writes_what_the_readme_says_in_company_100_alone() {
    let set = embedded();
    let allowed = [
        "CRS610MI/GetBasicData",
        "CRS610MI/LstByNumber",
        "CRS610MI/Add",
        "CRS610MI/ChgBasicData",
        "CRS610MI/Delete",
        "CRS610MI/GetServerTime",
        "CRS620MI/GetBasicData",
        "CRS620MI/AddSupplier",
        "CRS630MI/LstAccountID",
        "CRS630MI/AddAccountID",
        "MMS200MI/Get",
        "MMS200MI/AddItmBasic",
        "MMS060MI/LstBalID",
        "OIS100MI/GetHead",
        "OIS100MI/AddBatchHead",
        "PPS200MI/GetHead",
        "PPS200MI/AddLine",
        "PPS370MI/StartEntry",
        "PPS370MI/FinishEntry",
        "MNS100MI/GetBasicData",
        "MNS100MI/LstDivisions",
        "MNS150MI/GetUserData",
        "MNS150MI/GetUserInfo",
        "GENERAL/GetServerTime",
        "GENERAL/GetUserInfo",
        "MRS001MI/LstFields",
        "MRS001MI/LstAdtFieldInf",
        "MRS001MI/GetServerTime",
    ];
    for call in allowed {
        assert!(decide(&set, "demo", call, 100).allowed, "{call}");
        assert_eq!(decide(&set, "demo", call, 200).reason, Reason::NoPermit, "{call}");
    }
}

#[test]
fn the_demo_client_gets_nothing_else() {
    let set = embedded();
    for call in [
        "CRS610MI/CheckPIN",
        "CRS610MI/SetLstMaxRec",
        "CRS165MI/RtvNextNumber",
        "MMS060MI/SetBalIdAloc",
        "MNS100MI/SetMigrateDate",
        "MNS150MI/LstUserData",
        "MNS150MI/SelUsers",
        "MNS150MI/Add",
        "MRS001MI/AddField",
        "MRS001MI/ClearCache",
        "MRS001MI/GetField",
        "EXPORTMI/Select",
        "MDBREADMI/GetMITMAS00",
        "CMS100MI/LstAll",
        "LISTMI/Lst",
        "EXT001MI/GetPrice",
        "MMS100MI/AddDOHead",
        "GLS200MI/GetVoucher",
    ] {
        assert!(!decide(&set, "demo", call, 100).allowed, "{call}");
    }
}

#[test]
fn readers_read_and_nobody_else_does_anything() {
    let set = embedded();
    assert!(decide(&set, "readers", "CRS610MI/GetBasicData", 100).allowed);
    assert!(decide(&set, "readers", "OIS100MI/LstHead", 100).allowed);
    assert!(!decide(&set, "readers", "CRS610MI/Add", 100).allowed);
    assert!(!decide(&set, "readers", "CRS610MI/GetBasicData", 200).allowed);
    let nobody = ClientId { issuer: HERE.into(), id: "nobody".into() };
    assert!(!set.may_call_anything(Asker { client: &nobody, groups: &[], scopes: &[], claims: &[] }));
}

#[test]
fn guardrails_hold_against_a_permit_of_everything() {
    let mut files = Files::embedded().cedar;
    let all = r#"permit (principal, action in [Action::"read", Action::"write"], resource);
        permit (principal, action, resource == Transaction::"EXPORTMI/Select");"#;
    files.push(Source { name: "99-all.cedar".into(), text: all.into() });
    let set = Set::load(&files, &Site::of(HERE), &*layouts()).expect("a set");
    for (call, rule) in [
        ("EXPORTMI/Select", "no-queries-over-any-table"),
        ("EXT001MI/GetPrice", "no-customer-made-programs"),
        ("MRS001MI/ClearCache", "no-writes-to-the-repository"),
        ("MNS150MI/DelUser", "no-writes-to-users"),
        ("CRS165MI/RtvNextNumber", "no-burning-of-numbers"),
        ("CRS610MI/CheckPIN", "no-guessing-of-pins"),
    ] {
        let decision = decide(&set, "any", call, 100);
        assert_eq!((decision.reason, &*decision.rules), (Reason::Forbidden, &[rule.into()][..]), "{call}");
    }
    assert!(decide(&set, "any", "GLS200MI/GetVoucher", 100).allowed);
}
