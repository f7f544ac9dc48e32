//! The one rule of the house: a file may use its own folder and any folder on a lower floor, by its door.
//!
//! Reads every file under `src` as text. Always holds: a folder that stands in no list below fails the test, and nobody
//! is on an exceptions list; what is built for tests alone may look sideways, never up.
//! Does not know: what the compiler knows. It sees paths as they are written.

use crate::scan::{Found, Way, plain, rust_files, ways};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The floors from the top, and what stands on each.
const FLOORS: &[(u8, &[&str])] = &[
    (10, &["main", "lib"]),
    (9, &["cli"]),
    (8, &["app"]),
    (7, &["config"]),
    (6, &["edge"]),
    (5, &["gateway", "admin", "relay"]),
    (4, &["issuer", "catalog", "points", "mock_m3"]),
    (3, &["auth", "audit", "limit", "m3", "policies"]),
    (2, &["translate", "policy", "bod", "stoplist", "outbox", "orders"]),
    (1, &["telemetry", "tasks", "clock", "store", "outbound"]),
    (0, &["model"]),
];

/// Rooms that may use less than their floor allows, and all that they may use.
const NARROW: &[(&str, &[&str])] = &[
    ("edge", &["gateway", "admin", "telemetry", "tasks", "store", "model"]),
    ("translate", &["model"]),
    ("policy", &["model"]),
    ("bod", &["model"]),
];

/// Rooms without a clock, a socket, a file or a runtime, and the words that would bring one in.
const PURE: &[&str] = &["translate", "policy", "bod", "model"];
const IMPURE: &[&str] = &[
    "fs",
    "tokio",
    "hyper",
    "hyper_util",
    "tower",
    "axum",
    "http_body",
    "SystemTime",
    "Instant",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "File",
    "OpenOptions",
    "thread",
];

/// The most lines a file may have; a table may be longer only by being split.
const CAP: usize = 600;
/// More than this needs a reason: being named in [`LONG`], or being `tests.rs`, which is read one promise at a time.
const LONG_FROM: usize = 400;
/// Tables and nothing but tables, by their path from the root.
const LONG: &[&str] = &[];
/// Left-overs that no commit may hold.
const LEFT_OVERS: &[&str] = &["todo!(", "unimplemented!(", "dbg!("];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn report(what: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{what}:\n  {}", faults.join("\n  "));
}

#[test]
fn no_file_imports_upwards_or_sideways() {
    let mut faults = Vec::new();
    for (path, text) in rust_files(&root().join("src")) {
        faults.extend(check(&path, &text).into_iter().map(|(line, why)| format!("src/{path}:{line}: {why}")));
    }
    report("the floors do not hold", &faults);
}

#[test]
fn no_file_is_longer_than_the_cap() {
    let mut faults = Vec::new();
    for under in ["src", "tests/it"] {
        for (path, text) in rust_files(&root().join(under)) {
            let (path, lines) = (format!("{under}/{path}"), text.lines().count());
            if lines > CAP {
                faults.push(format!("{path}: {lines} lines, {CAP} is the cap"));
            } else if lines > LONG_FROM && !path.ends_with("/tests.rs") && !LONG.contains(&path.as_str()) {
                faults.push(format!("{path}: {lines} lines; above {LONG_FROM} only a table named in LONG may go"));
            }
        }
    }
    report("files that should be split", &faults);
}

#[test]
fn no_list_of_tables_names_a_file_that_is_gone() {
    let gone = LONG.iter().filter(|path| !root().join(path).is_file()).map(|path| (*path).to_owned());
    report("LONG names what is not there", &gone.collect::<Vec<_>>());
}

#[test]
fn no_left_over_stands_in_the_repository() {
    let mut faults = Vec::new();
    for file in files() {
        let Ok(text) = fs::read_to_string(root().join(&file)) else { continue };
        let text = if file.extension().is_some_and(|e| e == "rs") { plain(&text) } else { text };
        for (at, line) in text.lines().enumerate() {
            for word in LEFT_OVERS.iter().filter(|word| line.contains(**word)) {
                faults.push(format!("{}:{}: {word}", file.display(), at + 1));
            }
        }
    }
    report("left-overs", &faults);
}

/// What git would commit; without git (a source archive), the sources alone.
fn files() -> Vec<PathBuf> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .ok()
        .filter(|output| output.status.success())
        .map(|output| String::from_utf8_lossy(&output.stdout).lines().map(PathBuf::from).collect::<Vec<_>>());
    let walked = || {
        ["src", "tests/it"]
            .into_iter()
            .flat_map(|under| {
                rust_files(&root().join(under)).into_iter().map(move |(path, _)| Path::new(under).join(path))
            })
            .collect()
    };
    listed.filter(|files| !files.is_empty()).unwrap_or_else(walked)
}

/// What is wrong with a file of `src`, by line.
fn check(path: &str, text: &str) -> Vec<(usize, String)> {
    let home = Home::of(path);
    let Some(floor) = floor(home.room) else {
        return vec![(1, format!("`{}` stands on no floor; give it one in the floors test", home.room))];
    };
    let mut faults: Vec<_> = ways(text)
        .iter()
        .filter_map(|way| {
            refusal(&home, floor, way).map(|why| (way.line, format!("{}: {why}", way.segments.join("::"))))
        })
        .collect();
    for (at, line) in plain(text).lines().enumerate() {
        let words = || line.split(|c: char| !c.is_alphanumeric() && c != '_');
        if words().any(|word| word == "path") && line.contains("#[path") {
            faults.push((at + 1, "a module's file is found by its name, not by an attribute".to_owned()));
        }
        // What a test measures is not shipped.
        if PURE.contains(&home.room) && !home.test {
            let found = words().find(|word| IMPURE.contains(word));
            faults.extend(found.map(|word| (at + 1, format!("`{word}`: `{}` is pure", home.room))));
        }
    }
    faults
}

/// Where a file lives: `m3/socket/frame.rs` is three modules deep in the room `m3`, counted with the room itself.
struct Home<'a> {
    room: &'a str,
    depth: usize,
    test: bool,
}

impl<'a> Home<'a> {
    fn of(path: &'a str) -> Self {
        let path = path.strip_suffix(".rs").unwrap_or(path);
        let parts: Vec<_> = path.split('/').collect();
        let own = usize::from(parts.last().is_some_and(|name| !matches!(*name, "mod" | "main" | "lib")));
        Self { room: parts[0], depth: parts.len() - 1 + own, test: parts[1..].contains(&"tests") }
    }
}

fn floor(room: &str) -> Option<u8> {
    FLOORS.iter().find(|(_, rooms)| rooms.contains(&room)).map(|(floor, _)| *floor)
}

/// Why this way out of a file may not be taken.
fn refusal(home: &Home<'_>, floor: u8, way: &Way) -> Option<String> {
    let names: Vec<_> = way.segments.iter().map(String::as_str).collect();
    match names[0] {
        "mi_gateway" if home.room == "main" => None,
        "mi_gateway" => {
            Some("the package may not be entered by its own name; write `use crate::room::Thing`".to_owned())
        }
        "super" | "self" => {
            let ups =
                names.iter().take_while(|name| matches!(**name, "super" | "self")).filter(|name| **name == "super");
            let climbs = ups.count() >= home.depth + way.modules;
            (climbs && home.depth > 0).then(|| "climbs out of its room".to_owned())
        }
        "crate" => match way.found {
            Found::Path => Some("a path outside a use line; write `use crate::room::Thing` at the top".to_owned()),
            Found::BuriedUse => Some("a use line in a function; it belongs at the top".to_owned()),
            Found::Visibility => (names[1..].first() != Some(&home.room)).then(|| "opens a room to another".to_owned()),
            Found::Use => import_refusal(home, floor, &names, way.test || home.test),
        },
        _ => None,
    }
}

/// Why `use crate::…` may not stand here; tests alone may look sideways.
fn import_refusal(home: &Home<'_>, from: u8, names: &[&str], test: bool) -> Option<String> {
    let Some(room) = names.get(1) else { return Some("names nothing".to_owned()) };
    if names.contains(&"*") {
        return Some("a glob; name what is used".to_owned());
    }
    if *room == home.room {
        return None;
    }
    let Some(to) = floor(room) else {
        return Some(format!("`{room}` stands on no floor; give it one in the floors test"));
    };
    let narrow = NARROW.iter().find(|(narrow, _)| *narrow == home.room).map(|(_, may)| *may);
    let inner = names[2..].iter().rev().skip(1).any(|name| name.starts_with(|c: char| c.is_lowercase()));
    if to > from {
        Some(format!("looks up: `{}` is on floor {from}, `{room}` on {to}", home.room))
    } else if to == from && !test {
        Some(format!("looks sideways: `{}` and `{room}` are both on floor {to}", home.room))
    } else if !test && narrow.is_some_and(|may| !may.contains(room)) {
        Some(format!("`{}` may use {} alone", home.room, narrow.unwrap_or_default().join(", ")))
    } else if inner {
        Some(format!("a back door; take what `{room}` hands out at its own (`mod.rs`)"))
    } else {
        None
    }
}

/// The checker itself, on samples of one line each.
mod the_checker {
    use super::*;

    #[track_caller]
    fn passes(path: &str, text: &str) {
        let faults: Vec<_> = check(path, text).into_iter().map(|(_, why)| why).collect();
        assert!(faults.is_empty(), "{path}: {text:?} was refused: {faults:?}");
    }

    #[track_caller]
    fn refuses(path: &str, text: &str, because: &str) {
        let faults: Vec<_> = check(path, text).into_iter().map(|(_, why)| why).collect();
        assert!(faults.iter().any(|why| why.contains(because)), "{path}: {text:?} gave {faults:?}, not {because:?}");
    }

    #[test]
    fn lets_a_file_look_down_and_at_its_own_folder() {
        passes("m3/pool.rs", "use crate::model::Call;\nuse crate::tasks::Tasks;\nuse crate::m3::Error;\n");
        passes("gateway/layers/authn.rs", "use crate::auth::{Error, Verifier};\nuse super::checkpoint;\n");
        passes("gateway/stack.rs", "use crate::{auth::Verifier, model::{Call, Place}};\n");
        passes("tasks.rs", "use std::time::Duration;\n");
        passes("translate/mod.rs", "pub use crate::model::Value;\n");
        passes("main.rs", "fn main() { mi_gateway::cli::main() }\n");
    }

    #[test]
    fn refuses_up_and_sideways() {
        refuses("m3/pool.rs", "use crate::gateway::Problem;\n", "looks up");
        refuses("m3/pool.rs", "use crate::auth::Verifier;\n", "sideways");
        refuses("m3/pool.rs", "use crate::{model::Call, limit::Bucket};\n", "sideways");
        refuses("model/value.rs", "use crate::telemetry::Metrics;\n", "looks up");
        refuses("store/mod.rs", "use crate::tasks::Tasks;\n", "sideways");
        refuses("admin/mod.rs", "pub(crate) use crate::gateway::{\n    Stack,\n};\n", "sideways");
        refuses("translate/mod.rs", "use crate::telemetry::Metrics;\n", "may use model alone");
        refuses("edge/tls.rs", "use crate::model::Peer;\nuse crate::cli::Args;\n", "looks up");
        refuses("gateway/mod.rs", "use crate::app::Parts;\n", "looks up");
    }

    #[test]
    fn lets_config_read_the_settings_of_every_room_below() {
        passes("config/parse.rs", "use crate::edge::Settings;\nuse crate::m3::Settings as M3Settings;\n");
        refuses("config/parse.rs", "use crate::app::Parts;\n", "looks up");
        refuses("m3/mod.rs", "use crate::config::Config;\n", "looks up");
    }

    #[test]
    fn keeps_a_narrow_room_to_its_list() {
        passes("edge/serve.rs", "use crate::gateway::Stack;\nuse crate::tasks::Tasks;\n");
        refuses("edge/serve.rs", "use crate::m3::Client;\n", "edge` may use");
        refuses("policy/decide.rs", "use crate::telemetry::Metrics;\n", "may use model alone");
    }

    #[test]
    fn keeps_a_pure_room_pure() {
        passes("policy/decide.rs", "use std::net::IpAddr;\nuse std::time::Duration;\n");
        refuses("policy/decide.rs", "use std::time::{Duration, Instant};\n", "pure");
        refuses("translate/mod.rs", "fn f() { tokio::task::yield_now() }\n", "pure");
        passes("policy/tests.rs", "use std::time::Instant;\n");
    }

    #[test]
    fn refuses_a_way_in_that_is_no_use_line() {
        refuses("m3/pool.rs", "fn f() -> crate::model::Call { g() }\n", "outside a use line");
        refuses("m3/pool.rs", "fn f() {\n    crate::auth::verify();\n}\n", "outside a use line");
        refuses("m3/pool.rs", "fn f() { g(crate :: auth :: verify) }\n", "outside a use line");
        refuses("m3/pool.rs", "fn f() { ::mi_gateway::auth::verify() }\n", "its own name");
        refuses("m3/pool.rs", "fn f() {\n    use crate::model::Call;\n}\n", "at the top");
    }

    #[test]
    fn refuses_globs_and_back_doors() {
        refuses("m3/pool.rs", "use crate::model::*;\n", "glob");
        refuses("m3/pool.rs", "use crate::{model::{charset::*, Call}};\n", "glob");
        passes("m3/pool.rs", "use crate::{model::{self, Call as MiCall, is_key}};\n");
        refuses("m3/pool.rs", "use crate::*;\n", "glob");
        refuses("m3/pool.rs", "use crate::model::value::Value;\n", "door");
        passes("m3/socket/frame.rs", "use crate::m3::socket::Error;\n");
        passes("limit/mod.rs", "use crate::model::Charset::Latin1;\n");
    }

    #[test]
    fn refuses_climbing_out_of_the_room_by_super() {
        passes("m3/pool.rs", "use super::Error;\n");
        refuses("m3/pool.rs", "use super::super::auth::Verifier;\n", "climbs out");
        refuses("m3/mod.rs", "use super::auth::Verifier;\n", "climbs out");
        refuses("tasks.rs", "use super::model::Call;\n", "climbs out");
        passes("m3/socket/frame.rs", "use super::super::Error;\n");
        refuses("m3/socket/frame.rs", "use super::super::super::auth::Verifier;\n", "climbs out");
    }

    #[test]
    fn counts_the_modules_that_a_super_stands_in() {
        passes("m3/pool.rs", "mod tests {\n    use super::super::Error;\n}\n");
        refuses("m3/mod.rs", "mod tests {\n    use super::super::auth::Verifier;\n}\n", "climbs out");
        passes("m3/mod.rs", "mod tests {\n    use super::*;\n}\n");
    }

    #[test]
    fn holds_tests_to_the_same_rule_and_lets_them_import_in_their_module() {
        passes("m3/pool.rs", "#[cfg(test)]\nmod tests {\n    use super::*;\n    use crate::model::Call;\n}\n");
        refuses("m3/pool.rs", "#[cfg(test)]\nmod tests {\n    use crate::mock_m3::Server;\n}\n", "looks up");
        passes("m3/pool.rs", "#[cfg(test)]\nmod tests {\n    use crate::limit::Bucket;\n}\n");
    }

    #[test]
    fn refuses_a_room_that_it_has_never_heard_of() {
        refuses("helpers/mod.rs", "use crate::model::Call;\n", "no floor");
        refuses("m3/pool.rs", "use crate::helpers::Thing;\n", "no floor");
        refuses("m3/pool.rs", "#[path = \"../auth/mod.rs\"]\nmod auth;\n", "by its name");
        refuses("m3/pool.rs", "pub(in crate::auth) fn f() {}\n", "opens a room");
        passes("m3/pool.rs", "pub(in crate::m3) fn f() -> impl Sized + use<> {}\npub(crate) fn g() {}\n");
    }

    #[test]
    fn is_not_fooled_by_comments_and_texts() {
        passes("m3/pool.rs", "// use crate::auth::Verifier;\n/* crate::auth /* nested */ crate::auth */\n");
        passes("m3/pool.rs", "//! See [`crate::auth`].\nconst A: &str = \"crate::auth \\\" crate::auth\";\n");
        passes("m3/pool.rs", "const A: &str = r#\"use crate::auth::Verifier; \"# ;\nconst B: char = '\"';\n");
        refuses("m3/pool.rs", "const B: char = '\"'; fn f() { crate::auth::verify() }\n", "outside a use line");
        refuses("m3/pool.rs", "fn f<'a>(a: &'a str) -> crate::auth::X<'a> { a }\n", "outside a use line");
    }

    #[test]
    fn says_where() {
        let faults = check("m3/pool.rs", "use std::fmt;\n\nuse crate::{\n    model::Call,\n    auth::Verifier,\n};\n");
        assert_eq!(faults.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [3]);
    }
}
