//! Infor's own client library as a v1 client of the gateway: the checks stand in `tests/sdk/conformance.mjs`.

use crate::house::{House, text};
use serde_json::json;
use std::path::PathBuf;
use std::process::{Command, Output};

/// Runs the checks; the script's first lines say what the variables mean.
#[expect(clippy::disallowed_methods, reason = "`tests/run` says where it has put the library")]
fn conformance(variables: &[(&str, &str)]) -> Output {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    // `tests/run` says where it installed the library; by default that is here.
    let modules = std::env::var_os("MI_SDK_MODULES").map_or_else(|| root.join("target/tools/sdk"), PathBuf::from);
    let library = modules.join("node_modules/@infor-up/m3-odin");
    assert!(library.is_dir(), "Infor's library is not at {}: `tests/run sdk` installs it", library.display());
    Command::new("node")
        .arg(root.join("tests/sdk/conformance.mjs"))
        .env("MI_SDK_MODULES", modules)
        .envs(variables.iter().copied())
        .output()
        .expect("node can be started; `tests/run sdk` installs it")
}

#[test]
fn the_library_loads_and_the_checks_say_what_they_need() {
    let ended = conformance(&[]);
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(2), "{said}");
    assert!(said.contains("MI_SDK_BASE is not set"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn infors_own_library_finds_everything_it_relies_on() {
    let house = House::start().await;
    let ionapi = house.ionapi("demo");
    let base = format!("{}/DEMO_TST/M3", house.base);
    let token_url = format!("{}/oauth2/token", house.base);
    let authority = house.running.authority.display().to_string();
    let customer = json!({ "CUNO": "C00001" });
    let name = r#"Bolt & nut; 5 % "new" ½?"#;
    let cases = json!({
        "read": { "record": customer, "expect": customer },
        "empty": { "program": "CRS610MI", "transaction": "LstByNumber", "record": { "CUNO": "ZZZZZ" } },
        "write": {
            "transaction": "AddItmViaItmTyp",
            "record": { "ITTY": "001", "ITNO": "SDK-0001", "ITDS": name },
        },
        "readBack": { "expect": { "ITNO": "SDK-0001", "ITDS": name } },
        "nok": { "code": "WCU0203" },
        "typed": { "record": customer },
    })
    .to_string();
    // Blocks the test's own thread; the house runs on the runtime's.
    let ended = conformance(&[
        ("MI_SDK_BASE", &base),
        ("MI_SDK_TOKEN_URL", &token_url),
        ("MI_SDK_CLIENT_ID", text(&ionapi, "ci")),
        ("MI_SDK_CLIENT_SECRET", text(&ionapi, "cs")),
        ("MI_SDK_CA", &authority),
        ("MI_SDK_CASES", &cases),
    ]);
    let (said, fault) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert_eq!(ended.status.code(), Some(0), "{said}{fault}");
    assert_eq!(said.lines().filter(|line| line.starts_with("ok ")).count(), 13, "{said}");
}
