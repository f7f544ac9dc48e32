//! Laws of documents: tokens, key sets, limits, settings, faults of the mock.

use mi_gateway::auth::{KeySet, MAX_TOKEN, well_formed};
use mi_gateway::config;
use mi_gateway::limit::Plan;
use mi_gateway::mock_m3::Faults;

/// What has the form of a token is short, of three parts, and holds nothing that a URL or a header would split.
pub fn token(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if !well_formed(text) {
        return;
    }
    assert!(text.len() <= MAX_TOKEN);
    let parts: Vec<&str> = text.split('.').collect();
    let coded = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    assert!(parts.len() == 3 && coded(parts[0]) && coded(parts[1]), "{text:?}");
    assert!(!well_formed(&format!("{text}.{}", parts[2])));
}

/// A key set is bounded, and the same document gives the same keys.
pub fn keys(bytes: &[u8]) {
    let Ok(set) = KeySet::parse(bytes) else { return };
    assert!(set.len() <= 64);
    assert!(KeySet::parse(bytes).is_ok_and(|again| again == set));
}

/// Limits are read, or every fault says where in the file it is.
pub fn limits(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Plan::parse("limits.toml", text, "https://localhost") {
        Ok(plan) => assert_eq!(Plan::parse("limits.toml", text, "https://localhost"), Ok(plan)),
        Err(faults) => {
            assert!(!faults.is_empty());
            let lines = text.split('\n').count();
            for fault in faults {
                let (line, column) = (fault.line as usize, fault.column as usize);
                assert!((1..=lines).contains(&line) && column >= 1 && !fault.message.is_empty(), "{fault:?}");
            }
        }
    }
}

/// Settings are read, or every fault says where it is and how to mend it.
///
/// What follows a line of three dashes is the environment, a variable a line.
pub fn settings(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // Settings may name files, and a fuzzer shall open none of this machine's.
    if text.replace("://", "").contains(['/', '\\']) {
        return;
    }
    let (file, environment) = text.split_once("\n---\n").unwrap_or((text, ""));
    let variables = environment.lines().filter_map(|line| line.split_once('='));
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let Err(faults) = config::parse(Some(("gateway.toml", file)), variables) else { return };
    assert!(!faults.is_empty());
    for fault in faults {
        assert!(!fault.place.is_empty() && !fault.message.is_empty() && !fault.hint.is_empty(), "{fault:?}");
    }
}

/// Faults that are read are written as they were meant.
pub fn faults(bytes: &[u8]) {
    let Ok(faults) = serde_json::from_slice::<Faults>(bytes) else { return };
    let written = serde_json::to_vec(&faults).expect("plain data");
    assert_eq!(serde_json::from_slice::<Faults>(&written).ok(), Some(faults));
}
