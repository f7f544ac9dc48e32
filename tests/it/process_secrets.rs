//! Secrets of every kind, each with a mark: whatever the gateway and its commands write, no mark is in it. And who may
//! touch the files that hold them.

use super::{Process, command, patiently, run, text};
use crate::house::{https, send};
use http::Request;
use http_body_util::Full;
use serde_json::Value;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

const SETTINGS: &str = r#"
[log]
level = "trace"
[[points]]
name = "hook"
kind = "http"
url = "http://127.0.0.1:9/hook"
secret_file = "hook"
allow_private = true
[[points]]
name = "ion"
kind = "ims"
url = "https://localhost:9/ims"
tenant = "DEMO_TST"
account_file = "ion.ionapi"
[[points]]
name = "box"
kind = "database"
url_file = "box"
timeout_seconds = 1
[publish]
enabled = true
quiet_milliseconds = 100
tenant = "DEMO_TST"
[[issuers]]
issuer = "http://127.0.0.1:9/login"
audience = "https://m3.example.com"
jwks = "http://127.0.0.1:9/jwks"
allow_private = true
introspection = { client_id = "gateway", secret_file = "introspection", endpoint = "http://127.0.0.1:9/introspect" }
"#;

const FILES: [(&str, &str); 4] = [
    ("hook", "whsec_TUFSS2hvb2tob29raG9va2hvb2tob29r MARKhook\n"),
    (
        "ion.ionapi",
        r#"{"pu":"https://localhost:9/","ot":"token","ci":"x","cs":"MARK-ion-cs","saak":"y","sask":"MARK-ion-sask"}"#,
    ),
    ("box", "postgres://gateway:MARK-database@127.0.0.1:9/box\n"),
    ("introspection", "MARK-introspection\n"),
];

fn put(at: &Path, name: &str, text: &str, mode: u32) {
    std::fs::write(at.join(name), text).expect("a file");
    std::fs::set_permissions(at.join(name), std::fs::Permissions::from_mode(mode)).expect("a mode");
}

/// Everything that lies under a folder, but for files of these names.
fn everything(folder: &Path, but: &[&str]) -> String {
    let mut all = String::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if path.is_dir() {
            all.push_str(&everything(&path, but));
        } else if !but.iter().any(|end| name.ends_with(end)) {
            all.push_str(&String::from_utf8_lossy(&std::fs::read(&path).expect("a file")));
            all.push('\n');
        }
    }
    all
}

/// What the commands of the gateway print, of good files and of bad ones.
async fn commands(at: &Path) -> Vec<String> {
    let mut said = Vec::new();
    for words in [
        &["check"][..],
        &["check", "--json"],
        &["outbox", "list", "--json"],
        &["audit", "find"],
        &["client", "list"],
        &["keys", "list"],
        &["limits", "usage"],
        &["policy", "who-can"],
        &["token", "revoked"],
        &["--help"],
        &["token", "--help"],
        &["client", "add", "--help"],
    ] {
        let ended = run(at, words, &[]).await;
        said.push(format!("{words:?}: {} {}", text(&ended.stdout), text(&ended.stderr)));
    }
    // Files of another kind than they should be, whose faults would like to tell what stands there.
    for (name, content) in [
        ("ion.ionapi", r#"{"pu":"u","ot":"t","ci":"x","cs":4711471147114711}"#),
        ("ion.ionapi", "\"MARK-quoted\""),
        ("box", "MARK-no-url at all"),
    ] {
        put(at, name, content, 0o600);
        for words in [&["check"][..], &["token", name]] {
            let ended = run(at, words, &[]).await;
            said.push(format!("{words:?}: {} {}", text(&ended.stdout), text(&ended.stderr)));
        }
    }
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_those_that_the_gateway_calls_and_of_its_tools_are_written_nowhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    put(at, "gateway.toml", SETTINGS, 0o644);
    FILES.iter().for_each(|(name, text)| put(at, name, text, 0o600));
    let [stdout, stderr] = ["out.log", "err.log"].map(|name| std::fs::File::create(at.join(name)).expect("a file"));
    let mut child = command(at, &[], &[]).stdout(stdout).stderr(stderr).spawn().expect("it starts");
    let told: Value = patiently(async || {
        crate::house::a_moment().await;
        serde_json::from_slice(&std::fs::read(at.join(".mi-gateway/addresses.json")).ok()?).ok()
    })
    .await;
    let mut said = Vec::new();
    // Tokens as scripts get them: what they print is theirs, what others print of it is not.
    let whole = patiently(async || {
        let got = run(at, &["token", "--json"], &[]).await;
        got.status.success().then(|| serde_json::from_slice::<Value>(&got.stdout).expect("JSON"))
    })
    .await;
    let bound = run(at, &["token", "--dpop-key", "dpop.key"], &[]).await;
    assert!(bound.status.success(), "{}", text(&bound.stderr));
    let (token, key) =
        (text(&bound.stdout).trim().to_owned(), std::fs::read_to_string(at.join("dpop.key")).expect("a key"));
    said.push(text(&bound.stderr));
    let made = run(at, &["policy", "keygen", "--out", "policy.key"], &[]).await;
    said.push(text(&made.stdout) + &text(&made.stderr));
    let policy = std::fs::read_to_string(at.join("policy.key")).expect("a key");
    let client = https(&at.join("certs/dev/ca.pem"));
    let (public, operations) = (crate::house::text(&told, "public_url"), crate::house::text(&told, "operations"));
    let access = crate::house::text(&whole, "access_token");
    let refresh = crate::house::text(&whole, "refresh_token");
    let write = format!("{public}/m3api-rest/v2/execute/MMS200MI/AddItmViaItmTyp?ITTY=001&ITNO=HUSH1&ITDS=First");
    let form = format!("grant_type=refresh_token&client_id=nobody&client_secret=MARK-form&refresh_token={refresh}");
    for (method, url, authorization, body) in [
        ("GET", &write, format!("Bearer {access}"), ""),
        ("GET", &write, format!("DPoP {token}"), ""),
        ("GET", &write, "Bearer MARK-opaque".to_owned(), ""),
        ("POST", &format!("{public}/oauth2/token"), String::new(), form.as_str()),
        ("POST", &format!("{public}/oauth2/revoke"), "Basic TUFSSzpNQVJL".to_owned(), form.as_str()),
        ("GET", &format!("http://{operations}/metrics"), String::new(), ""),
        ("GET", &format!("http://{operations}/readyz"), String::new(), ""),
    ] {
        let mut request = Request::builder().method(method).uri(url);
        if !authorization.is_empty() {
            request = request.header("authorization", authorization).header("dpop", "MARK.proof.MARK");
        }
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let reply = send(&client, request.body(Full::from(body.to_owned())).expect("a request")).await;
        said.push(format!("{url} {} {:?} {}", reply.status, reply.headers, reply.text()));
    }
    assert!(
        said.iter().any(|answer| answer.contains("HUSH1") && answer.contains("200")),
        "the write is done: {said:?}"
    );
    // Each point has tried, and failed.
    let listed = patiently(async || {
        let listed = text(&run(at, &["outbox", "list"], &[]).await.stdout);
        // A line ends with the point, and behind it with why it was not delivered.
        let tried = |point: &str| listed.lines().any(|line| line.contains(&format!("  {point}  ")));
        ["hook", "ion", "box"].into_iter().all(tried).then_some(listed)
    })
    .await;
    said.push(listed);
    said.extend(commands(at).await);
    child.kill().await.expect("it is ended");
    let logs = ["out.log", "err.log"].map(|name| std::fs::read_to_string(at.join(name)).expect("a log")).concat();
    assert!(logs.contains("TRACE"), "it was logged as much as can be");
    // The state itself holds none of them either, but for the files that are there for it.
    let written = said.concat() + &logs + &everything(&at.join(".mi-gateway"), &[".ionapi", ".key", ".token"]);
    let lines_of = |pem: &str| pem.lines().nth(1).unwrap_or_default().to_owned();
    let secrets =
        ["MARK", "4711471147114711", "TUFSS2hv", access, refresh, &token, &lines_of(&key), &lines_of(&policy)];
    for secret in secrets {
        assert!(secret.len() > 3);
        let found: Vec<&str> = written.lines().filter(|line| line.contains(secret)).take(3).collect();
        assert!(found.is_empty(), "{secret}: {found:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_others_may_write_is_refused_and_one_that_all_may_read_is_warned_of() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    put(at, "gateway.toml", SETTINGS, 0o644);
    FILES.iter().for_each(|(name, text)| put(at, name, text, 0o600));
    let check = async || {
        let ended = run(at, &["check"], &[]).await;
        (ended.status.code(), text(&ended.stderr))
    };
    let (code, told) = check().await;
    assert!(code == Some(0) && !told.contains("by everybody"), "{told}");
    for (name, key) in [
        ("hook", "secret_file"),
        ("ion.ionapi", "account_file"),
        ("box", "url_file"),
        ("introspection", "introspection.secret_file"),
    ] {
        for mode in [0o620, 0o602] {
            put(at, name, FILES.iter().find(|file| file.0 == name).expect("a file").1, mode);
            let (code, told) = check().await;
            assert!(code == Some(2) && told.contains("may write it") && told.contains(key), "{name} {mode:o}: {told}");
        }
        put(at, name, FILES.iter().find(|file| file.0 == name).expect("a file").1, 0o644);
        let (code, told) = check().await;
        assert!(code == Some(0) && told.contains(name) && told.contains("by everybody"), "{name}: {told}");
        put(at, name, FILES.iter().find(|file| file.0 == name).expect("a file").1, 0o440);
    }
    // As systemd hands a credential over, and as Kubernetes mounts a secret: links, and a folder that is exchanged.
    let (handed, mounted) = (at.join("credentials"), at.join("mounted"));
    std::fs::create_dir_all(mounted.join("..2026")).expect("a folder");
    std::fs::create_dir(&handed).expect("a folder");
    put(&handed, "hook", FILES[0].1, 0o400);
    put(&mounted, "..2026/box", FILES[2].1, 0o644);
    symlink("..2026", mounted.join("..data")).expect("a link");
    symlink("..data/box", mounted.join("box")).expect("a link");
    let moved = SETTINGS
        .replace("\"hook\"\nallow", "\"credential:hook\"\nallow")
        .replace("url_file = \"box\"", "url_file = \"mounted/box\"");
    put(at, "gateway.toml", &moved, 0o644);
    let handed = handed.display().to_string();
    let environment = [("CREDENTIALS_DIRECTORY", handed.as_str())];
    let ended = run(at, &["check"], &environment).await;
    let told = text(&ended.stderr);
    assert!(ended.status.success() && told.contains("mounted/box") && !told.contains("credentials/hook"), "{told}");
    let process = Process::start(at, &environment).await;
    process.signal("TERM");
    let mut process = process;
    let mut log = String::new();
    let mut output = process.output.take().expect("a pipe");
    tokio::io::AsyncReadExt::read_to_string(&mut output, &mut log).await.expect("text");
    let warned = log.lines().any(|line| line.contains("WARN") && line.contains("mounted/box"));
    assert!(warned, "the start warns as well: {log}");
    // Keys that the gateway finds beside its settings.
    for (name, words) in
        [(".mi-gateway/audit.key", &["audit", "head"][..]), (".mi-gateway/clients/demo.ionapi", &["token"])]
    {
        std::fs::set_permissions(at.join(name), std::fs::Permissions::from_mode(0o660)).expect("a mode");
        let ended = run(at, words, &environment).await;
        assert!(
            !ended.status.success() && text(&ended.stderr).contains("may write it"),
            "{name}: {}",
            text(&ended.stderr)
        );
    }
}
