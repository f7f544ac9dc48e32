mod bounds;
mod bundles;
mod review;
mod shipped;
mod whole;

use super::{Active, Again, Error, Files, Kept, Past, Rollback, Settings, check};
use crate::model::{
    ClaimKind, ClientId, Company, Division, Effect, FieldName, Layout, M3User, Place, ProgramName, TransactionLayout,
    TransactionName,
};
use crate::policy::{Ask, Asker, Decision, Reason, Set, Site, Source};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use jiff::tz::TimeZone;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const HERE: &str = "https://localhost:8443";

fn layouts() -> super::Layouts {
    Arc::new(|_, _| None)
}

fn any_limits() -> super::LimitsCheck {
    Arc::new(|_| Ok(()))
}

fn settings(dir: &Path) -> Settings {
    Settings { dir: dir.into(), every: Duration::from_millis(20), ..Settings::default() }
}

const PERMIT: &str = "permit (principal, action in Action::\"read\", resource);";

#[test]
fn a_set_with_faults_never_replaces_a_good_one() {
    let held = tempfile::tempdir().expect("a folder");
    let dir = held.path().join("policies");
    let metrics = Metrics::new();
    let active = Active::load(settings(&dir), Site::of(HERE), layouts(), any_limits(), metrics.clone())
        .expect("the embedded files");
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
    let active = Active::load(settings(held.path()), Site::of(HERE), layouts.clone(), any_limits(), Metrics::new())
        .expect("a set");
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
    let Err(Error::Faults(faults)) = check(&settings(held.path()), &Site::of(HERE), &layouts, &[]) else {
        panic!("no faults")
    };
    assert_eq!((faults[0].spot.file.as_str(), faults[0].spot.line), ("a.cedar", 1));
}

#[test]
fn a_folder_without_rules_is_a_mistake() {
    let held = tempfile::tempdir().expect("a folder");
    fs::write(held.path().join(".a.cedar"), PERMIT).expect("a file");
    assert!(matches!(check(&settings(held.path()), &Site::of(HERE), &layouts(), &[]), Err(Error::Empty { .. })));
}

#[tokio::test]
async fn the_watch_picks_up_a_changed_file() {
    let held = tempfile::tempdir().expect("a folder");
    fs::write(held.path().join("a.cedar"), PERMIT).expect("a file");
    let active =
        Active::load(settings(held.path()), Site::of(HERE), layouts(), any_limits(), Metrics::new()).expect("a set");
    let tasks = Tasks::new();
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    fs::write(held.path().join("limits.toml"), "# first").expect("a file");
    let limits = move |limits: &Source| {
        let _ = told.send(limits.text.clone());
    };
    active.watch(&tasks, limits, |_| {});
    assert_eq!(heard.recv().await.as_deref(), Some("# first"));
    assert!(tasks.finish(Duration::from_secs(10)).await);
}

/// A folder of rules with a place to keep good ones.
struct Desk {
    held: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { held: tempfile::tempdir().expect("a folder") };
        fs::create_dir_all(desk.dir().join("tests")).expect("a folder");
        desk.write("a.cedar", PERMIT);
        desk
    }

    fn dir(&self) -> std::path::PathBuf {
        self.held.path().join("rules")
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.dir().join(name), text).expect("a file");
    }

    fn settings(&self) -> Settings {
        Settings { kept: Some(Kept::at(self.held.path().join("kept"))), ..settings(&self.dir()) }
    }

    fn kept(&self) -> Kept {
        self.settings().kept.expect("it keeps")
    }

    fn load(&self) -> Result<Arc<Active>, Error> {
        Active::load(self.settings(), Site::of(HERE), known_layouts(), any_limits(), Metrics::new())
    }
}

/// CRS610MI/GetBasicData alone.
fn known_layouts() -> super::Layouts {
    Arc::new(|program, name| {
        (program.as_str() == "CRS610MI" && name.as_str() == "GetBasicData").then(|| {
            let (input, output) = (Layout::default(), Layout::default());
            Arc::new(TransactionLayout { program, name, description: "".into(), multi: false, input, output })
        })
    })
}

fn case(expect: &str) -> String {
    format!(
        "[[case]]\nname = \"a promise\"\nclient = \"x\"\ncall = \"CRS610MI/GetBasicData;cono=100\"\nexpect = \"{expect}\"\n"
    )
}

#[test]
fn a_case_says_what_the_token_says_and_when_it_is_where() {
    let desk = Desk::new();
    desk.write(
        "a.cedar",
        r#"@id("clerks") permit (principal, action in Action::"read", resource)
        when { context.claims has roles && context.claims.roles.contains("clerk") && context.local_minute < 720 };"#,
    );
    let case = |company: u16, more: &str, expect: &str| {
        case(expect).replace("cono=100", &format!("cono={company}")).replace("client =", &format!("{more}\nclient ="))
    };
    let clerk = "claims = { roles = [\"clerk\"] }\nat = \"2026-07-01T09:59:59Z\"";
    let late = clerk.replace("09:59:59", "10:00:00");
    let all = [case(100, clerk, "allow"), case(100, &late, "deny"), case(100, &late.replace("clerk", "boss"), "deny")];
    desk.write(
        "tests/all.toml",
        &(all.concat() + &case(200, clerk, "deny") + "reason = \"no-zone\"\nrule = \"clerks\"\n"),
    );
    let mut site = Site::of(HERE);
    site.claims.insert("roles".into(), ClaimKind::Set);
    assert!(site.zones.set("100", TimeZone::get("Europe/Stockholm").expect("a zone")));
    let load = || Active::load(desk.settings(), site.clone(), known_layouts(), any_limits(), Metrics::new());
    assert!(load().is_ok(), "{:?}", load().err());
    for (wrong, why) in [("office = \"x\"", "policy_claims"), ("roles = \"clerk\"", "a set")] {
        desk.write("tests/all.toml", &case(100, &format!("claims = {{ {wrong} }}"), "deny"));
        let _ = fs::remove_dir_all(desk.held.path().join("kept"));
        assert!(matches!(load(), Err(Error::Tests(broken)) if broken[0].contains(why)), "{wrong}");
    }
}

#[test]
fn a_decision_of_the_past_is_made_again_with_its_claims_or_not_at_all() {
    let rule = r#"@id("p") permit (principal, action in Action::"read", resource)
        when { context.claims has department && context.claims.department == "sales" };"#;
    let mut site = Site::of(HERE);
    site.claims.insert("department".into(), ClaimKind::Text);
    let source = Source { name: "a.cedar".into(), text: rule.into() };
    let set = Set::load(&[source], &site, &*known_layouts()).expect("a set");
    let line = |more: serde_json::Value| {
        let mut line = serde_json::json!({ "kind": "decision", "id": "1", "time": "2026-07-01T09:59:59Z", "client": "x",
            "issuer": HERE, "set": "s", "step": "values", "verdict": "allow", "reason": "allowed", "rules": ["p"],
            "program": "CRS610MI", "transaction": "GetBasicData", "address": "127.0.0.1", "company": 100 });
        line.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        Past::read(&line).expect("a decision").again(&set, |program, name| known_layouts()(program, name))
    };
    let with = |value: &str| line(serde_json::json!({ "claims": { "department": value } }));
    assert_eq!((with("sales").allowed(), with("stock").allowed()), (Some(true), Some(false)));
    let hashed = line(serde_json::json!({ "claims": { "department": "h:1" }, "untold_claims": ["department"] }));
    assert!(matches!(&hashed, Again::Undecidable(why) if why.contains("department")), "{hashed:?}");
}

const FORBID: &str = "@id(\"no\") forbid (principal, action, resource);";

#[test]
fn a_set_that_breaks_its_own_tests_never_becomes_active() {
    let desk = Desk::new();
    desk.write("tests/all.toml", &case("allow"));
    let active = desk.load().expect("its tests come out");
    let before = active.set().hash().to_owned();
    desk.write("b.cedar", FORBID);
    active.look(&|_| {});
    assert_eq!(active.set().hash(), before, "the forbid breaks the promise");
    let trouble = active.in_force().trouble.clone().unwrap_or_default();
    assert!(trouble.contains("tests/all.toml:1:1: a promise: it is refused"), "{trouble}");
    desk.write("tests/all.toml", &case("deny"));
    active.look(&|_| {});
    assert_ne!(active.set().hash(), before, "what was promised is another thing now");
    assert_eq!(active.in_force().trouble, None);
}

#[test]
fn tests_can_be_left_to_a_pipeline() {
    let desk = Desk::new();
    desk.write("tests/all.toml", &case("deny"));
    assert!(matches!(desk.load(), Err(Error::Tests(broken)) if broken.len() == 1));
    let loose = Settings { gate: super::Gate::Syntax, ..desk.settings() };
    assert!(Active::load(loose, Site::of(HERE), known_layouts(), any_limits(), Metrics::new()).is_ok());
}

#[test]
fn a_case_whose_transaction_nobody_knows_keeps_no_gateway_from_starting() {
    let desk = Desk::new();
    desk.write("tests/all.toml", &case("allow").replace("GetBasicData", "LstByName"));
    assert!(desk.load().is_ok());
}

#[test]
fn a_restart_with_a_broken_folder_starts_with_the_last_good_set() {
    let desk = Desk::new();
    let good = desk.load().expect("a set").set().hash().to_owned();
    desk.write("a.cedar", "permit (");
    let active = desk.load().expect("the last good set");
    assert_eq!(active.set().hash(), good);
    assert!(active.in_force().trouble.is_some());
    desk.write("a.cedar", &format!("{PERMIT}\n{FORBID}"));
    active.look(&|_| {});
    assert_ne!(active.set().hash(), good);
    assert_eq!(active.in_force().trouble, None, "mended");
    fs::remove_dir_all(desk.held.path().join("kept")).expect("the kept sets");
    desk.write("a.cedar", "permit (");
    assert!(desk.load().is_err(), "with nothing kept there is nothing to start with");
}

#[test]
fn a_kept_set_that_was_altered_is_not_trusted() {
    let desk = Desk::new();
    drop(desk.load().expect("a set"));
    let kept = desk.kept().sets().expect("a list").pop().expect("a set");
    fs::write(desk.kept().folder(&kept.id).join("a.cedar"), "permit (principal, action, resource);").expect("a file");
    desk.write("a.cedar", "permit (");
    assert!(desk.load().is_err());
}

#[test]
fn a_set_that_was_gone_back_to_is_what_it_was_or_nothing() {
    let desk = Desk::new();
    let active = desk.load().expect("a set");
    desk.write("b.cedar", FORBID);
    active.look(&|_| {});
    let sets = desk.kept().sets().expect("a list");
    desk.kept().go_back(&super::Rollback { to: sets[0].id.clone(), at: 0 }).expect("it is written");
    let altered = desk.kept().folder(&sets[0].id).join("a.cedar");
    fs::write(altered, "permit (principal, action, resource);").expect("a file");
    let before = active.set().hash().to_owned();
    active.look(&|_| {});
    assert_eq!(active.set().hash(), before);
    assert!(active.in_force().trouble.clone().unwrap_or_default().contains("is not what it was"));
    assert!(desk.load().is_err(), "and the set that was left is not in force again by itself");
}

#[test]
fn versions_rise_and_a_rollback_is_the_one_way_down() {
    let desk = Desk::new();
    let version = |number: u32| desk.write("manifest.toml", &format!("name = \"acme\"\nversion = {number}\n"));
    version(1);
    let active = desk.load().expect("a set");
    version(2);
    desk.write("b.cedar", FORBID);
    active.look(&|_| {});
    assert_eq!(active.in_force().version, 2);
    version(1);
    active.look(&|_| {});
    assert_eq!(active.in_force().version, 2);
    let trouble = active.in_force().trouble.clone().unwrap_or_default();
    assert!(trouble.contains("version 1 is older than version 2"), "{trouble}");
    version(2);
    active.look(&|_| {});
    let sets = desk.kept().sets().expect("a list");
    assert_eq!(sets.iter().map(|set| set.version).collect::<Vec<_>>(), [1, 2]);
    desk.kept().go_back(&super::Rollback { to: sets[0].id.clone(), at: 0 }).expect("it is written");
    active.look(&|_| {});
    let now = active.in_force();
    assert_eq!((now.version, now.rolled_back), (1, true));
    desk.write("b.cedar", PERMIT_TOO);
    active.look(&|_| {});
    assert_eq!(active.in_force().version, 1, "the folder doesn't count");
    let again = desk.load().expect("a restart");
    assert_eq!((again.in_force().version, again.in_force().rolled_back), (1, true), "it holds over a restart");
    desk.kept().resume().expect("it is taken back");
    active.look(&|_| {});
    assert_eq!((active.in_force().version, active.in_force().rolled_back), (2, false));
}

const PERMIT_TOO: &str = "@id(\"too\") permit (principal == Client::\"b\", action in Action::\"read\", resource);";

#[test]
fn a_set_whose_day_is_over_is_not_taken_up_and_one_in_force_stays() {
    let desk = Desk::new();
    let active = desk.load().expect("a set");
    desk.write("manifest.toml", "name = \"acme\"\nversion = 1\nexpires = \"2020-01-01\"\n");
    active.look(&|_| {});
    assert_eq!(active.in_force().version, 0);
    assert!(active.in_force().trouble.clone().unwrap_or_default().contains("a day that is over"));
    desk.write("manifest.toml", "name = \"acme\"\nversion = 1\nexpires = \"2999-01-01\"\n");
    active.look(&|_| {});
    assert_eq!(active.in_force().version, 1);
    assert!(!active.is_over(0) && active.is_over(u64::MAX), "an alarm, and no outage");
}
