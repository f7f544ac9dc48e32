use super::super::gate::LimitsCheck;
use super::*;
use crate::model::Standing;
use crate::policy::Site;

const ALL: &str = "@id(\"all\") permit (principal, action in Action::\"read\", resource);";

fn shadow(dir: &std::path::Path, metrics: &Metrics) -> Arc<Shadow> {
    let settings = ShadowSettings { dir: dir.to_owned(), told: None };
    let (layouts, limits): (_, LimitsCheck) = (Arc::new(|_, _| None), Arc::new(|_| Ok(())));
    let against = Against { site: Site::of("https://here"), layouts, limits };
    Shadow::load(settings, Gate::Tests, &against, metrics.clone())
}

fn somebody() -> Principal {
    Principal {
        client: ClientId { issuer: "https://here".into(), id: "shop".into() },
        tenant: None,
        scopes: Arc::default(),
        groups: Arc::default(),
        claims: Arc::default(),
        expires_at: u64::MAX,
        token_id: "".into(),
        standing: Arc::new(Standing::default()),
    }
}

#[test]
fn what_finds_no_room_is_dropped_and_counted_and_nobody_waits() {
    let (folder, metrics) = (tempfile::tempdir().expect("a folder"), Metrics::new());
    std::fs::write(folder.path().join("a.cedar"), ALL).expect("a file");
    // Nobody takes the questions out.
    let shadow = shadow(folder.path(), &metrics);
    for at in 0..WAITING + 7 {
        shadow.door(&somebody(), at);
    }
    assert_eq!(metrics.policy_shadow_dropped.get(), 7);
}

#[test]
fn a_candidate_may_come_go_and_be_wrong_at_any_time() {
    let (folder, metrics) = (tempfile::tempdir().expect("a folder"), Metrics::new());
    let (dir, file) = (folder.path().join("candidate"), folder.path().join("candidate/a.cedar"));
    let shadow = shadow(&dir, &metrics);
    shadow.door(&somebody(), 1);
    assert_eq!((shadow.queue.capacity(), metrics.policy_shadow_trouble.get()), (WAITING, 0), "nothing is asked");
    std::fs::create_dir(&dir).expect("a folder");
    std::fs::write(&file, ALL).expect("a file");
    shadow.look();
    shadow.door(&somebody(), 1);
    assert_eq!(shadow.queue.capacity(), WAITING - 1);
    let good = shadow.note();
    std::fs::write(&file, "permit (").expect("a file");
    shadow.look();
    assert!(shadow.note().starts_with(&good), "the last good one stays: {}", shadow.note());
    assert_eq!(metrics.policy_shadow_trouble.get(), 1);
    std::fs::remove_dir_all(&dir).expect("the folder");
    shadow.look();
    assert!(shadow.note().starts_with("none in"), "{}", shadow.note());
    assert_eq!(metrics.policy_shadow_trouble.get(), 0);
}

#[test]
fn a_candidate_that_breaks_its_own_tests_is_not_asked() {
    let (folder, metrics) = (tempfile::tempdir().expect("a folder"), Metrics::new());
    std::fs::create_dir(folder.path().join("tests")).expect("a folder");
    std::fs::write(folder.path().join("a.cedar"), ALL).expect("a file");
    let case = "[[case]]\nname = \"x\"\nclient = \"y\"\ncall = \"CRS610MI;x\"\nexpect = \"deny\"\n";
    std::fs::write(folder.path().join("tests/a.toml"), case).expect("a file");
    let shadow = shadow(folder.path(), &metrics);
    assert!(shadow.candidate.load().is_none() && shadow.note().contains("can't be used"), "{}", shadow.note());
}

#[test]
fn each_step_is_put_to_the_candidate_and_told_by_the_rule_that_makes_the_difference() {
    let (folder, metrics) = (tempfile::tempdir().expect("a folder"), Metrics::new());
    std::fs::write(folder.path().join("a.cedar"), ALL).expect("a file");
    let shadow = shadow(folder.path(), &metrics);
    let name = |text: &str| TransactionName::parse(text).expect("a transaction");
    let program = ProgramName::parse("CRS610MI").expect("a program");
    shadow.door(&somebody(), 1);
    shadow.name(&somebody(), (program, name("GetBasicData")), Effect::Read, 2);
    shadow.name(&somebody(), (program, name("ChgBasicData")), Effect::Write, 3);
    let mut waiting = shadow.waiting.lock().expect("one thread").take().expect("nobody watches");
    while let Ok(question) = waiting.try_recv() {
        shadow.compare(&question);
    }
    let report = shadow.report();
    assert_eq!((&report["same"], &report["otherwise"]), (&1.into(), &2.into()), "{report}");
    let rows: Vec<_> = report["rows"].as_array().into_iter().flatten().map(|row| row["rule"].clone()).collect();
    assert_eq!(rows, ["(none)", "all"]);
    let text = metrics.text();
    assert!(text.contains("decisions_total{result=\"deny-allow\",step=\"door\"} 1"), "{text}");
    assert!(text.contains("disagreements_total{client=\"shop@https://here\",pair=\"deny-allow\",rule=\"all\"} 1"));
}
