use super::{Active, Error, Files, Settings, check};
use crate::model::{
    ClientId, Company, Division, Effect, FieldName, Layout, M3User, Place, ProgramName, TransactionLayout,
    TransactionName,
};
use crate::policy::{Ask, Asker, Decision, Reason, Set, Source};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const HERE: &str = "https://localhost:8443";

fn layouts() -> super::Layouts {
    Arc::new(|_, _| None)
}

fn decide(set: &Set, group: &str, call: &str, company: u16) -> Decision {
    let (program, transaction) = call.split_once('/').expect("a call of the test");
    let program = ProgramName::parse(program).expect("a program");
    let name = TransactionName::parse(transaction).expect("a transaction");
    let client = ClientId { issuer: HERE.into(), id: "anybody".into() };
    let groups = [group.into()];
    let asker = Asker { client: &client, groups: &groups, scopes: &[] };
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
        address: IpAddr::from([127, 0, 0, 1]),
        unix_seconds: 1_795_456_800,
    });
    assert!(!decision.allowed || set.may_name(asker, program, name, effect));
    let secret = FieldName::parse("PWMT").expect("a field");
    assert!(!decision.may_show(secret) && !set.readable(asker, program, name, secret), "{call} shows a PIN");
    decision
}

fn embedded() -> Set {
    Set::load(&Files::embedded().cedar, HERE, &*layouts()).unwrap_or_else(|faults| panic!("{}", faults[0]))
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
    assert!(!set.may_call_anything(Asker { client: &nobody, groups: &[], scopes: &[] }));
}

#[test]
fn guardrails_hold_against_a_permit_of_everything() {
    let mut files = Files::embedded().cedar;
    let all = r#"permit (principal, action in [Action::"read", Action::"write"], resource);
        permit (principal, action, resource == Transaction::"EXPORTMI/Select");"#;
    files.push(Source { name: "99-all.cedar".into(), text: all.into() });
    let set = Set::load(&files, HERE, &*layouts()).expect("a set");
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

fn settings(dir: &Path) -> Settings {
    Settings { dir: dir.into(), every: Duration::from_millis(20) }
}

const PERMIT: &str = "permit (principal, action in Action::\"read\", resource);";

#[test]
fn a_set_with_faults_never_replaces_a_good_one() {
    let held = tempfile::tempdir().expect("a folder");
    let dir = held.path().join("policies");
    let metrics = Metrics::new();
    let active = Active::load(settings(&dir), HERE, layouts(), metrics.clone()).expect("the embedded files");
    assert!(active.is_embedded());
    let told = Mutex::new(Vec::new());
    let look = || active.look(&|limits: &Source| told.lock().expect("unpoisoned").push(limits.text.clone()));

    fs::create_dir(&dir).expect("a folder");
    fs::write(dir.join("a.cedar"), PERMIT).expect("a file");
    look();
    assert!(!active.is_embedded());
    assert_eq!((active.set().rules(), metrics.policy_rules.get()), (1, 1));
    let good = active.set();

    fs::write(dir.join("a.cedar"), "permit (principal, action").expect("a file");
    fs::write(dir.join("limits.toml"), "# new").expect("a file");
    look();
    assert!(Arc::ptr_eq(&good, &active.set()));
    assert_eq!(told.lock().expect("unpoisoned").as_slice(), [""; 0], "limits wait for the rules they came with");
    fs::write(dir.join("a.cedar"), PERMIT).expect("a file");
    look();
    assert_eq!(told.lock().expect("unpoisoned").as_slice(), ["# new"]);
    let good = active.set();
    fs::write(dir.join("a.cedar"), "permit (principal, action").expect("a file");
    look();
    assert!(Arc::ptr_eq(&good, &active.set()));

    fs::remove_dir_all(&dir).expect("removed");
    look();
    assert!(Arc::ptr_eq(&good, &active.set()), "the demo's rules don't come back by themselves");

    let refused = metrics.reloads_refused.with_label_values(&["policy"]).get();
    assert!(refused >= 3, "each kind of trouble is counted: {refused}");

    fs::create_dir(&dir).expect("a folder");
    fs::write(dir.join("a.cedar"), PERMIT.replace("read", "write")).expect("a file");
    look();
    assert_ne!(good.hash(), active.set().hash());
}

#[test]
fn layouts_learnt_later_make_a_rule_checkable() {
    let held = tempfile::tempdir().expect("a folder");
    let rule = "forbid (principal, action == Action::\"CRS610MI/Add\", resource) when { context.fields has CUNO };";
    fs::write(held.path().join("a.cedar"), rule).expect("a file");
    let known = Arc::new(Mutex::new(None));
    let layouts: super::Layouts = {
        let known = known.clone();
        Arc::new(move |_, _| known.lock().expect("unpoisoned").clone())
    };
    let active = Active::load(settings(held.path()), HERE, layouts.clone(), Metrics::new()).expect("a set");
    assert_eq!(active.set().warnings().len(), 1);
    *known.lock().expect("unpoisoned") = Some(Arc::new(TransactionLayout {
        program: ProgramName::parse("CRS610MI").expect("a program"),
        name: TransactionName::parse("Add").expect("a transaction"),
        description: "".into(),
        multi: false,
        input: Layout::default(),
        output: Layout::default(),
    }));
    active.layouts_changed();
    active.look(&|_| {});
    // CUNO isn't among its fields: a fault, so the old set stays, and `check` says where.
    assert_eq!(active.set().warnings().len(), 1);
    let Err(Error::Faults(faults)) = check(&settings(held.path()), HERE, &layouts) else { panic!("no faults") };
    assert_eq!((faults[0].spot.file.as_str(), faults[0].spot.line), ("a.cedar", 1));
}

#[test]
fn a_folder_without_rules_is_a_mistake() {
    let held = tempfile::tempdir().expect("a folder");
    fs::write(held.path().join(".a.cedar"), PERMIT).expect("a file");
    assert!(matches!(check(&settings(held.path()), HERE, &layouts()), Err(Error::Empty { .. })));
}

#[tokio::test]
async fn the_watch_picks_up_a_changed_file() {
    let held = tempfile::tempdir().expect("a folder");
    fs::write(held.path().join("a.cedar"), PERMIT).expect("a file");
    let active = Active::load(settings(held.path()), HERE, layouts(), Metrics::new()).expect("a set");
    let tasks = Tasks::new();
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    fs::write(held.path().join("limits.toml"), "# first").expect("a file");
    active.watch(&tasks, move |limits| {
        let _ = told.send(limits.text.clone());
    });
    assert_eq!(heard.recv().await.as_deref(), Some("# first"));
    assert!(tasks.finish(Duration::from_secs(10)).await);
}
