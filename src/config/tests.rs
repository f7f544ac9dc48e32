//! The example file is the documentation of the keys, and it is held against the code.

use super::*;
use proptest::prelude::*;

const EXAMPLE: &str = include_str!("../../deploy/gateway.example.toml");

fn with(text: &str) -> Result<Settings, Vec<Fault>> {
    parse(Some(("gateway.toml", text)), std::iter::empty())
}

fn faults(text: &str) -> Vec<String> {
    with(text).err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

/// Everything but passwords, whose map has no order.
fn shown(settings: &Settings) -> String {
    let Settings { edge, certificate, gateway, operations, tokens, issuers, clients, catalog, log, .. } = settings;
    let (Backend::Mock { client, .. } | Backend::Socket(client)) = &settings.backend;
    let pool = client.pool;
    format!(
        "{edge:?}{certificate:?}{gateway:?}{operations:?}{tokens:?}{issuers:?}{clients:?}{catalog:?}{log:?}{pool:?}{:?}{:?}{:?}{:?}",
        client.charset, client.connect_timeout, client.logon_timeout, settings.policies
    )
}

#[test]
fn the_example_says_the_defaults() {
    let example = with(EXAMPLE).expect("the example has no fault");
    let defaults = parse(None, std::iter::empty()).expect("the defaults have no fault");
    assert_eq!(shown(&example), shown(&defaults));
}

#[test]
fn every_key_that_the_example_leaves_out_is_a_key() {
    let uncommented: String = EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(key)
                if key.starts_with('[')
                    || key
                        .split_once(" = ")
                        .is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')) =>
            {
                key
            }
            _ => line,
        })
        .collect::<Vec<_>>()
        .join("\n");
    assert!(uncommented.contains("\n[[issuers]]") && uncommented.contains("\n[m3.users]"));
    let unknown: Vec<_> = faults(&uncommented).into_iter().filter(|fault| fault.contains("is no key")).collect();
    assert_eq!(unknown, Vec::<String>::new());
}

#[test]
fn every_fault_is_told_at_once_with_its_place_and_a_hint() {
    let found =
        faults("[edge]\nlisten = [\"nowhere\"]\nidle_second = 5\nage_seconds = \"x\"\n[m3]\nbackend = \"socket\"\n")
            .join("\n");
    insta::assert_snapshot!(found, @r#"
    gateway.toml:2:10: edge.listen has an element that can't be used; write a list of addresses with ports, like 127.0.0.1:8443
    gateway.toml:4:15: edge.age_seconds has a value that can't be used; write a whole number from 1 to 86400
    settings: m3.address is missing; m3.backend = "socket" needs the host and port of M3's MI socket
    settings: m3.user is missing; m3.backend = "socket" needs the gateway's own M3 user
    settings: m3.password_file is missing; m3.backend = "socket" needs the file with that user's password
    gateway.toml:3:15: edge.idle_second is no key of the settings; did you mean edge.idle_seconds?
    "#);
}

#[test]
fn broken_toml_is_a_fault_with_a_place() {
    let found = faults("[edge\nlisten = 3").join("\n");
    assert!(found.starts_with("gateway.toml:1:"), "{found}");
}

#[test]
fn the_environment_wins_over_the_file() {
    let environment = [
        ("MI_GATEWAY__EDGE__LISTEN", "127.0.0.1:1,127.0.0.1:2"),
        ("MI_GATEWAY__STATE__DIR", "elsewhere"),
        ("OTHER", "x"),
    ];
    let settings = parse(
        Some(("gateway.toml", "[edge]\nlisten = [\"127.0.0.1:9\"]")),
        environment.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let settings = settings.expect("settings without a fault");
    assert_eq!(settings.edge.listen.len(), 2);
    assert_eq!(settings.state, PathBuf::from("elsewhere"));
}

#[test]
fn an_unknown_key_of_the_environment_is_a_fault() {
    let environment = [("MI_GATEWAY__EDGE__LISTN".to_owned(), "127.0.0.1:1".to_owned())];
    let found = parse(None, environment.into_iter()).err().unwrap_or_default();
    assert!(found[0].to_string().contains("did you mean edge.listen?"), "{found:?}");
}

#[test]
fn a_secret_under_the_wrong_key_is_not_repeated() {
    let found = faults("[edge]\nlisten = [\"s3cret\"]\n[gateway]\nbody_limit = \"s3cret\"").join("\n");
    assert!(!found.is_empty() && !found.contains("s3cret"), "{found}");
}

proptest! {
    #[test]
    fn any_text_is_settings_or_faults(text in "\\PC{0,200}") {
        let _ = with(&text);
    }
}
