//! Infor's own client library as a v1 client of the gateway: the checks stand in `tests/sdk/conformance.mjs`.

use std::path::PathBuf;
use std::process::{Command, Output};

/// Runs the checks; the script's first lines say what the variables mean.
fn conformance(variables: &[(&str, &str)]) -> Output {
    Command::new("node")
        .arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/sdk/conformance.mjs"))
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
