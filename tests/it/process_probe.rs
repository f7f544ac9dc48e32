//! `check --probe` tells what the guard user may not read of what is read as him.

use super::{run, text};
use mi_gateway::mock_m3::{self, Mock};
use mi_gateway::tasks::Tasks;

#[tokio::test(flavor = "multi_thread")]
async fn each_read_that_the_guard_user_is_needed_for_is_tried_and_told() {
    let (folder, tasks) = (tempfile::tempdir().expect("a folder"), Tasks::new());
    let mock = Mock::start(mock_m3::Settings::default(), &tasks).await.expect("an M3");
    let (m3, at) = (mock.address().to_string(), folder.path());
    crate::facts::write(&at.join("policies"));
    let settings = "[m3.users]\nMINOAUT = \"minoaut\"\nMIREAD = \"miread\"\n";
    std::fs::write(at.join("gateway.toml"), settings).expect("a file");
    for name in ["minoaut", "miread"] {
        std::fs::write(at.join(name), format!("{name}-dev\n")).expect("a file");
    }
    let probe = async |guard: &str| {
        let environment = [
            ("MI_GATEWAY__M3__BACKEND", "socket"),
            ("MI_GATEWAY__M3__ADDRESS", m3.as_str()),
            ("MI_GATEWAY__M3__USER", "MIGATE"),
            ("MI_GATEWAY__M3__PASSWORD", "migate-dev"),
            ("MI_GATEWAY__POLICY__GUARD_USER", guard),
        ];
        let ended = run(at, &["check", "--probe"], &environment).await;
        (ended.status.code(), text(&ended.stdout) + &text(&ended.stderr))
    };
    let reads = ["CRS008MI/Get", "MMS005MI/GetWarehouse", "PPS200MI/GetHead", "OIS100MI/GetLine"];
    let (code, told) = probe("MIREAD").await;
    assert_eq!(code, Some(0), "{told}");
    for read in reads {
        assert!(told.contains(&format!("the guard user MIREAD may read {read}, ")), "{read}: {told}");
    }
    let (code, told) = probe("MINOAUT").await;
    assert_eq!(code, Some(2), "{told}");
    for read in reads {
        assert!(told.contains(&format!("MINOAUT may not read {read}, ")), "{read}: {told}");
    }
    // One that alone is refused is told alone; that there is no such record is no refusal.
    let nok =
        r#"{"rules":[{"program":"MMS005MI","action":{"nok":{"id":"XAU0008","field":"","text":"No authority"}}}]}"#;
    mock.set_faults(serde_json::from_str(nok).expect("faults"));
    let (code, told) = probe("MIREAD").await;
    assert_eq!((code, told.matches("may not read").count()), (Some(2), 1), "{told}");
    assert!(told.contains("MIREAD may not read MMS005MI/GetWarehouse"), "{told}");
}
