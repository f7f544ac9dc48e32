//! The example file is the documentation of the keys, and it is held against the code.

use super::*;
use crate::audit::Required;
use crate::auth::{Algorithm, RequireBound};
use crate::model::{ClaimKind, FieldName};
use crate::policies::SigningKey;
use crate::relay::Rule;
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
    let (Backend::Mock { client, .. } | Backend::Real(client)) = &settings.backend;
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
fn what_a_site_calls_secret_is_so_for_rules_for_the_outbox_and_in_the_log() {
    let settings = with("[privacy]\nsensitive_fields = [\"BACD\"]\n").expect("settings");
    let field = FieldName::parse("BACD").expect("a field");
    assert!(settings.outbox.sensitive.has(field) && settings.site("https://here").sensitive.has(field));
    assert!(settings.audit.hashed.contains("BACD"));
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
fn who_names_a_real_m3_does_not_get_a_mock() {
    let found =
        faults("[m3]\naddress = \"m3.example.com:26800\"\nuser = \"MVX\"\nreroute_hosts = [\"a\"]\n").join("\n");
    insta::assert_snapshot!(found, @r#"
    gateway.toml:2:11: m3.address is for a real M3, and m3.backend is mock; set m3.backend = "socket" or "rest"
    gateway.toml:3:8: m3.user is for a real M3, and m3.backend is mock; set m3.backend = "socket" or "rest"
    gateway.toml:4:17: m3.reroute_hosts is for a real M3, and m3.backend is mock; set m3.backend = "socket" or "rest"
    "#);
    assert_eq!(faults("[m3]\naddress = \"127.0.0.1:7000\"\n"), Vec::<String>::new(), "where the mock listens");
}

#[test]
fn a_client_belongs_to_an_issuer_of_the_settings() {
    let issuer = "[[issuers]]\nissuer = \"https://a\"\njwks = \"https://a/k\"\naudience = \"x\"\n";
    let client = |issuer: &str| format!("[[clients]]\nissuer = \"{issuer}\"\nid = \"shop\"\n");
    assert_eq!(faults(&format!("{issuer}{}", client("https://a"))), Vec::<String>::new());
    let found = faults(&format!("{issuer}{}", client("https://localhost:8443"))).join("\n");
    insta::assert_snapshot!(found, @"gateway.toml:6:10: clients.0.issuer https://localhost:8443 is none of issuers; name it exactly as its [[issuers]] does; clients of the embedded issuer come by `client add`");
}

#[test]
fn a_claim_is_of_one_kind_whoever_gives_it_and_a_zone_is_one_that_there_is() {
    let issuer = |name: &str, claims: &str| {
        format!("[[issuers]]\nissuer = \"https://{name}\"\naudience = \"x\"\npolicy_claims = [{claims}]\n")
    };
    let two = issuer("a", "\"roles=set\"") + &issuer("b", "\"roles\"");
    assert!(faults(&two).join("\n").contains("the claim roles as a text and as a set"), "{:?}", faults(&two));
    assert_eq!(faults(&issuer("a", "\"a\\\"b\"")).len(), 1, "a name that would end a quoted word");
    assert_eq!(faults(&issuer("a", "\"a=number\"")).len(), 1);
    let zones = |text: &str| with(&format!("[policy.zones]\n{text}")).map(|settings| settings.zones.is_empty());
    assert!(!zones("default = \"Europe/Stockholm\"\n\"100/AAA\" = \"Asia/Kolkata\"\n").expect("no fault"));
    let wrong =
        faults("[policy.zones]\ndefault = \"Mars/Base\"\n\"1/2/3\" = \"UTC\"\nstockholm = \"Europe/Stockholm\"\n");
    insta::assert_snapshot!(wrong.join("\n"), @r#"
    gateway.toml:3:11: policy.zones.1/2/3 names no place; write default, a company like 200, or a division like "100/AAA"
    gateway.toml:2:11: policy.zones.default has a value that can't be used; write a zone of the IANA database, like Europe/Stockholm
    gateway.toml:4:13: policy.zones.stockholm names no place; write default, a company like 200, or a division like "100/AAA"
    "#);
}

#[test]
fn an_issuers_settings_are_all_read_and_its_name_alone_finds_its_keys() {
    let found = with("[[issuers]]\nissuer = \"https://a\"\naudience = \"x\"\n").expect("no fault");
    let bare = &found.issuers[0];
    assert_eq!((bare.jwks.as_deref(), bare.allow_private, bare.leeway), (None, false, 10));
    let text = "[[issuers]]\nissuer = \"https://a\"\naudience = [\"x\", \"y\"]\nscopes = [\"m3\"]\nleeway_seconds = 0\ntenant_claim = \"tid\"\ntenants = [\"a=b=DEMO_TST\"]\ncompany_claim = \"c\"\ncompanies = [\"se=100\"]\nstale_seconds = 3600\npolicy_claims = [\"department\", \"https://x/y=z=set\"]\n";
    let all = &with(text).expect("no fault").issuers[0];
    assert_eq!((all.audiences.len(), all.leeway, all.stale.as_secs()), (2, 0, 3600));
    assert_eq!(all.tenants.keys().collect::<Vec<_>>(), ["a=b"]);
    assert_eq!(all.company.as_ref().map(|rule| rule.companies.len()), Some(1));
    let seen = [("department".to_owned(), ClaimKind::Text), ("https://x/y=z".to_owned(), ClaimKind::Set)];
    assert_eq!(all.policy_claims, seen);
    let text = "[[issuers]]\nissuer = \"https://a\"\naudience = \"x\"\njwks = \"https://a/k\"\nalgorithms = [\"PS512\"]\nclient_claim = \"cid\"\naccess_token_type = false\ntenant = \"DEMO_TST\"\nallow_private = true\nrequire_bound = \"dpop\"\n[issuers.introspection]\nclient_id = \"x\"\nendpoint = \"https://a/i\"\ncap_seconds = 7\nnegative_seconds = 3\n";
    let secret = [("MI_GATEWAY__ISSUERS__0__INTROSPECTION__SECRET", "s")];
    let rest = &in_environment(text, &secret).expect("no fault").issuers[0];
    assert_eq!((rest.jwks.as_deref(), &*rest.algorithms), (Some("https://a/k"), &[Algorithm::Ps512][..]));
    assert_eq!((rest.client_claim.as_deref(), rest.access_token_type, rest.allow_private), (Some("cid"), false, true));
    assert_eq!(
        (rest.tenant.as_ref().map(ToString::to_string), rest.require_bound),
        (Some("DEMO_TST".into()), RequireBound::Key)
    );
    let asked = rest.introspection.as_ref().expect("it is asked");
    assert_eq!((asked.endpoint.as_deref(), asked.cap.as_secs(), asked.negative.as_secs()), (Some("https://a/i"), 7, 3));
    let wrong = faults(
        "[[issuers]]\nissuer = \"https://a\"\nscopes = [\"a b\"]\ntenants = [\"x\"]\ncompanies = [\"se=100\"]\n",
    )
    .join("\n");
    insta::assert_snapshot!(wrong, @"
    settings: issuers.0.audience is missing; give the audience that its tokens must name, or a list of which they must name one
    gateway.toml:3:10: issuers.0.scopes has an element that can't be used; write a list of scopes
    gateway.toml:4:11: issuers.0.tenants has an element that can't be used; write a list of values and tenants, like VALUE=TENANT
    gateway.toml:5:13: issuers.0.company_claim is missing; name the claim whose values these are
    ");
}

#[test]
fn no_issuer_is_held_to_certificates_that_the_door_does_not_take() {
    let without = "[tokens]\nrequire_bound = \"mtls\"\n";
    let told = faults(without);
    assert!(told.len() == 1 && told[0].contains("tokens.require_bound"), "{told:?}");
    assert_eq!(faults(&format!("{without}[edge]\nself_signed_clients = true\n")), Vec::<String>::new());
    let foreign = "[[issuers]]\nissuer = \"https://login.example.com\"\naudience = \"x\"\nrequire_bound = \"mtls\"\n";
    assert_eq!(faults(foreign).len(), 1, "{:?}", faults(foreign));
}

#[test]
fn a_bundle_is_held_to_as_many_keys_as_are_trusted_and_every_fault_of_that_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name).display().to_string();
    for name in ["anna", "otto"] {
        let key = SigningKey::make(&folder.path().join(name)).expect("a key");
        std::fs::write(file(&format!("{name}.pub")), key.public().pem()).expect("a file");
    }
    std::fs::write(file("again.pub"), std::fs::read(file("anna.pub")).expect("a key")).expect("a file");
    std::fs::write(file("bad.pub"), "no key").expect("a file");
    let policy = |keys: &[&str], more: &str| {
        let keys: Vec<String> = keys.iter().map(|name| file(name)).collect();
        format!("[policy]\ntrusted_keys = {keys:?}\n{more}")
    };
    let bundle = "bundle = \"set.bundle\"\n";
    let two = with(&policy(&["anna.pub", "otto.pub"], &format!("{bundle}signatures = 2\n"))).expect("no fault");
    assert_eq!(two.policies, PathBuf::from("set.bundle"));
    assert_eq!((two.policy_trust.keys.len(), two.policy_trust.signatures), (2, 2));
    let one = with(&policy(&["anna.pub", "otto.pub"], bundle)).expect("no fault");
    assert_eq!((one.policy_trust.keys.len(), one.policy_trust.signatures), (2, 1), "unless somebody asks for more");
    assert!(!with("").expect("no fault").policy_trust.is_asked());
    for (text, key, says) in [
        (policy(&["anna.pub"], ""), "policy.trusted_keys", "is set without policy.bundle"),
        ("[policy]\nsignatures = 1\n".to_owned(), "policy.signatures", "is set without policy.bundle"),
        (policy(&["anna.pub"], &format!("{bundle}dir = \"rules\"\n")), "policy.dir", "is set beside policy.bundle"),
        (format!("[policy]\n{bundle}"), "policy.trusted_keys", "is missing"),
        (policy(&[], bundle), "policy.trusted_keys", "is missing"),
        (policy(&["anna.pub", "again.pub"], bundle), "policy.trusted_keys", "holds a key that is named already"),
        (policy(&["bad.pub"], bundle), "policy.trusted_keys", "can't be used"),
        (policy(&["anna"], bundle), "policy.trusted_keys", "can't be used"),
        (policy(&["gone.pub"], bundle), "policy.trusted_keys", "gone.pub"),
        (
            policy(&["anna.pub"], &format!("{bundle}signatures = 2\n")),
            "policy.signatures",
            "asks for 2 signatures, and there are 1 keys",
        ),
        (policy(&["anna.pub"], &format!("{bundle}signatures = 0\n")), "policy.signatures", "can't be used"),
    ] {
        let found = faults(&text);
        assert!(found.iter().any(|fault| fault.contains(key) && fault.contains(says)), "{says}: {found:?}");
    }
}

#[test]
fn the_audit_log_says_whose_line_must_be_kept_and_no_other_word_is_taken() {
    let of = |word: &str| with(&format!("[audit]\nrequired = \"{word}\"\n")).map(|settings| settings.audit.required);
    let found = ["writes", "all", "nothing"].map(|word| of(word).expect("no fault"));
    assert_eq!(found, [Required::Writes, Required::All, Required::Nothing]);
    assert_eq!(with("").expect("no fault").audit.required, Required::Writes, "unless somebody says so");
    for wrong in ["none", "Writes", "", "reads"] {
        assert!(of(wrong).is_err_and(|faults| faults.iter().any(|fault| fault.to_string().contains("audit.required"))));
    }
}

#[test]
fn an_origin_is_one_as_a_browser_sends_it() {
    let of = |origin: &str| faults(&format!("[gateway]\ncors_origins = [\"{origin}\"]\n")).is_empty();
    assert!(of("https://app.example.com") && of("http://localhost:3000"));
    for wrong in ["*", "null", "https://a/", "https://a/x", "app.example.com", "ftp://a"] {
        assert!(!of(wrong), "{wrong}");
    }
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

fn in_environment(file: &str, variables: &[(&str, &str)]) -> Result<Settings, Vec<Fault>> {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    parse(Some(("gateway.toml", file)), variables)
}

const SOCKET: &str = "[m3]\nbackend = \"socket\"\naddress = \"127.0.0.1:7000\"\nuser = \"MIGATE\"\n";
const TOKEN: &str = "MARK-operator-0123456789-0123456789";

#[test]
fn a_secret_comes_from_the_environment_or_a_credential_and_is_shown_by_neither() {
    use secrecy::ExposeSecret;
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("shop"), "MARK-of-credential\nmore\n").expect("a file");
    let file = format!("{SOCKET}[m3.users]\nWEBSHOP = \"credential:shop\"\n");
    let variables = [
        ("CREDENTIALS_DIRECTORY", folder.path().to_str().expect("text")),
        ("MI_GATEWAY__M3__PASSWORD", "MARK, of the environment"),
        ("MI_GATEWAY__M3__PASSWORDS__MIDEMO", "MARK-of-a-user"),
        ("MI_GATEWAY__OPERATIONS__TOKEN", TOKEN),
    ];
    let settings = in_environment(&file, &variables).expect("no fault");
    let Backend::Real(client) = &settings.backend else { panic!("it is a real M3") };
    let mut held: Vec<&str> = client.users.values().map(ExposeSecret::expose_secret).collect();
    held.sort_unstable();
    assert_eq!(held, ["MARK, of the environment", "MARK-of-a-user", "MARK-of-credential"]);
    assert_eq!(settings.operations.token.as_ref().map(ExposeSecret::expose_secret), Some(TOKEN));
    assert!(!format!("{settings:?}").contains("MARK"), "{settings:?}");
}

#[test]
fn a_secret_in_the_settings_file_is_refused_and_not_repeated() {
    let text =
        format!("{SOCKET}password = \"MARK\"\n[m3.passwords]\nMIDEMO = \"MARK\"\n[operations]\ntoken = \"MARK\"\n");
    let found = faults(&text).join("\n");
    assert!(
        !found.contains("MARK") && found.lines().filter(|line| line.contains("is a secret")).count() == 3,
        "{found}"
    );
    assert!(found.contains("MI_GATEWAY__M3__PASSWORD"), "{found}");
    for (name, says) in [("credential:x", "there are none"), ("nowhere/MARK-less", "nowhere")] {
        let found = faults(&format!("{SOCKET}password_file = \"{name}\"\n")).join("\n");
        assert!(found.contains(says), "{found}");
    }
    let outside =
        in_environment(&format!("{SOCKET}password_file = \"credential:../x\"\n"), &[("CREDENTIALS_DIRECTORY", "/run")]);
    assert!(outside.is_err_and(|faults| faults.iter().any(|fault| fault.message.contains("no credential"))));
}

#[test]
fn a_point_is_read_with_its_filter_and_every_fault_of_it_is_told() {
    let point = |rest: &str| format!("[[points]]\nname = \"w\"\nkind = \"file\"\nfolder = \"/spool\"\n{rest}");
    let read = with(&point("where = [\"PurchaseOrderLine/Quantity > 5\"]\ndivisions = [\"AAA\"]\n")).expect("no fault");
    assert_eq!((read.points.len(), read.points[0].name.as_str()), (1, "w"));
    assert_eq!(read.points[0].filter.divisions, ["AAA"]);
    let told = |rest: &str| faults(&point(rest)).join("\n");
    assert!(told("where = [\"A ~ 1\"]\n").contains("gateway.toml:5"), "{}", told("where = [\"A ~ 1\"]\n"));
    assert!(told("pattern = \"../{document}\"\n").contains("is no name of a file"));
    assert!(told("url = \"https://a/\"\n").contains("is no key"), "keys of another kind are none");
    assert!(told("[[points]]\nname = \"W\"\nkind = \"smoke\"\n").contains("name of another point"));
    let trial = parse(None, std::iter::empty()).expect("no fault").points;
    assert_eq!((trial.len(), trial[0].name.as_str()), (1, "bods"), "a trial shows what is published");
    let real = "[m3]\nbackend = \"socket\"\naddress = \"localhost:1\"\nuser = \"MVX\"\n";
    let secret = [("MI_GATEWAY__M3__PASSWORD".to_owned(), "x".to_owned())];
    let real = parse(Some(("gateway.toml", real)), secret.into_iter()).expect("no fault");
    assert!(real.points.is_empty(), "and nobody else's folder is filled");
}

/// A house with one point, `wms`, and what a test says besides.
fn with_point(more: &str) -> String {
    let publish = "[publish]\nenabled = true\n";
    let point = "[[points]]\nname = \"wms\"\nkind = \"file\"\nfolder = \"/tmp/x\"\n";
    format!("{publish}{point}{more}")
}

const SENDER: &str = "[[inbound.senders]]\nclient = \"T~1\"\nlogical_ids = [\"lid://infor.wms.*\"]\npoint = \"wms\"\n";

#[test]
fn who_answers_is_somebody_known_for_a_point_that_is_there() {
    let good = with(&with_point(SENDER)).expect("no fault");
    assert_eq!(good.gateway.inbound.senders.len(), 1);
    assert_eq!(good.gateway.inbound.logical_id, good.publish.logical_id);
    for (right, wrong, why) in [
        ("\"wms\"", "\"wmz\"", "wmz is none of points"),
        ("lid://infor.wms.*", "infor.wms", "has an element that can't be used"),
        ("client = \"T~1\"", "issuer = \"https://x\"", "is missing"),
        ("client = \"T~1\"", "client = \"a\"\nissuer = \"https://x\"", "https://x is none of issuers"),
    ] {
        let found = faults(&with_point(&SENDER.replacen(right, wrong, 1))).join("\n");
        assert!(found.contains(why), "{why} in {found}");
    }
}

#[test]
fn m3s_own_publisher_answers_for_no_point_and_has_something_to_be_compared_with() {
    let sender = SENDER.replace("point = \"wms\"", "m3_publisher = true");
    let shadow = "[[publish.documents]]\ndocument = \"Sync.ItemMaster\"\nmode = \"shadow\"\n";
    let good = with(&with_point(&format!("{sender}{shadow}"))).expect("no fault").gateway.inbound;
    assert_eq!((good.senders[0].point(), good.shadowed), (None, vec!["Sync.ItemMaster".to_owned()]));
    for (text, why) in [
        (sender.clone(), "has nothing to be compared with"),
        (format!("{sender}point = \"wms\"\n{shadow}"), "is given to M3's own publisher"),
        (sender.replace("true", "false"), "point is missing"),
    ] {
        let found = faults(&with_point(&text)).join("\n");
        assert!(found.contains(why), "{why} in {found}");
    }
}

#[test]
fn who_must_always_answer_must_be_able_to_and_in_time() {
    let always = "confirmation = \"Always\"\n";
    let alone = faults(&with_point(always)).join("\n");
    assert!(alone.contains("must always answer, and nobody may answer for wms"), "{alone}");
    assert!(with(&with_point(&format!("{always}{SENDER}"))).is_ok());
    let row = "[[publish.documents]]\ndocument = \"Sync.ItemMaster\"\nconfirmation = \"Always\"\n";
    let by_row = faults(&with_point(row)).join("\n");
    assert!(by_row.contains("nobody may answer for wms"), "{by_row}");
    assert!(with(&with_point(&format!("confirmation = \"OnError\"\n{row}"))).is_ok(), "the point asks for less");
    let slow = faults(&with_point(&format!("{always}answer_seconds = 864000\n{SENDER}"))).join("\n");
    assert!(slow.contains("is longer than documents are kept"), "{slow}");
    assert!(with("[publish]\nconfirmation = \"Always\"\n").is_ok(), "a trial's folder answers nothing");
}

#[test]
fn a_database_over_the_network_proves_who_it_is_or_somebody_says_that_it_need_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("url");
    let said = |url: &str, more: &str| {
        std::fs::write(&file, url).expect("a file");
        let point = format!("[[points]]\nname = \"box\"\nkind = \"database\"\nurl_file = {file:?}\n{more}\n");
        faults(&point).into_iter().filter(|fault| fault.contains("need not prove")).count()
    };
    assert_eq!(said("postgres://u:secret@db.example/ion", ""), 1);
    assert_eq!(said("postgres://u:secret@db.example/ion", "plaintext = \"accepted\""), 0);
    assert_eq!(said("postgres://u:secret@db.example/ion?sslmode=verify-full", ""), 0);
}

#[test]
fn a_filter_that_no_document_could_pass_is_a_fault() {
    let point = |rest: &str| format!("[[points]]\nname = \"w\"\nkind = \"file\"\nfolder = \"/spool\"\n{rest}");
    let good = "documents = [\"Sync.ItemMaster\", \"Process.*\", \"Process.PurchaseOrder\"]\ncompanies = [\"0100\"]\n\
        actions = [\"Delete\"]\n";
    let read = with(&point(good)).expect("no fault");
    assert_eq!(read.points[0].filter.companies, ["100"], "as documents say it");
    for bad in [
        "documents = [\"ItemMaster\"]",
        "documents = [\"Sync.Itemmaster\"]",
        "documents = [\"Process.ItemMaster\"]",
        "companies = [\"all\"]",
        "divisions = [\"LONGER\"]",
        "actions = [\"Update\"]",
    ] {
        let told = faults(&point(&format!("{bad}\n"))).join("\n");
        assert!(told.contains("gateway.toml:5") && told.contains("can't be used"), "{bad}: {told}");
    }
}

#[test]
fn a_database_is_given_no_documents_without_a_tenant() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("url");
    std::fs::write(&file, "postgres://u:secret@localhost/ion").expect("a file");
    let point = format!("[[points]]\nname = \"box\"\nkind = \"database\"\nurl_file = {file:?}\n");
    assert!(faults(&point).join("\n").contains("have no tenant"));
    let told = |more: &str| with(&format!("{more}{point}")).err().map(|faults| faults.len());
    assert_eq!(told("[publish]\ntenant = \"ACME_TST\"\n"), None);
    assert_eq!(told("[[publish.documents]]\ntenant = \"ACME_TST\"\n"), None);
}

#[test]
fn every_column_of_the_publishers_table_is_one_of_its_words() {
    let row = |rest: &str| format!("[[publish.documents]]\n{rest}\n");
    for (good, bad) in [
        ("document = \"Process.PurchaseOrder\"", "document = \"Process.ItemMaster\""),
        ("company = \"100\"", "company = \"all\""),
        ("division = \"AAA\"", "division = \"LONGER\""),
        ("mode = \"shadow\"", "mode = \"on\""),
        ("action = \"Change\"", "action = \"Delete\""),
        ("entity = \"division\"", "entity = \"facility\""),
        ("location = \"fixed:FR1\"", "location = \"fixed:\""),
        ("bod_id = \"infor-nid\"", "bod_id = \"guid\""),
        ("tenant = \"ACME_TST\"", "tenant = \"ACME TST\""),
        ("logical_id = \"lid://acme.m3\"", "logical_id = \"acme.m3\""),
        ("confirmation = \"Never\"", "confirmation = \"Sometimes\""),
    ] {
        let read = with(&row(good)).unwrap_or_else(|_| panic!("{good}"));
        assert_ne!(read.publish.rules, [Rule::default()], "{good} says something");
        let told = faults(&row(bad)).join("\n");
        assert!(told.contains("gateway.toml:2"), "{bad}: {told}");
    }
}

#[test]
fn the_name_of_m3s_own_publisher_is_taken_over_knowingly_or_not_at_all() {
    for whole in [true, false] {
        let name = "logical_id = \"lid://infor.m3.m3\"\n";
        let said = |more: &str| match whole {
            true => format!("[publish]\n{more}{name}"),
            false => format!("[publish]\n{more}[[publish.documents]]\n{name}"),
        };
        let told = faults(&said("")).join("\n");
        assert!(told.contains("is that of M3's own publisher") && told.contains("replaces_m3_publisher"), "{told}");
        assert!(with(&said("replaces_m3_publisher = true\n")).is_ok());
    }
}

#[test]
fn two_files_of_one_noun_are_a_fault_that_names_both() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, noun: &str| {
        let text = format!("noun = \"{noun}\"\nextends = \"shipped\"\n");
        std::fs::write(folder.path().join(name), text).expect("a file");
    };
    write("a.toml", "ItemMaster");
    write("b.toml", "SalesOrder");
    let said = format!("[publish]\nmappings = {:?}\n", folder.path());
    assert!(with(&said).is_ok());
    write("c.toml", "ItemMaster");
    let told = faults(&said).join("\n");
    assert!(told.contains("a.toml") && told.contains("c.toml") && told.contains("ItemMaster"), "{told}");
}

#[test]
fn who_reads_records_for_rules_is_somebody_whom_m3_lets_in() {
    let guard = |name: &str| with(&format!("[policy]\nguard_user = \"{name}\"\n"));
    let settings = guard("MIREAD").expect("a user of the mock");
    assert_eq!(settings.guard_user.map(|user| user.to_string()), Some("MIREAD".to_owned()));
    let told = faults("[policy]\nguard_user = \"MIGUARD\"\n").join("\n");
    assert!(told.contains("policy.guard_user is MIGUARD, who is not among [m3.users]"), "{told}");
}
