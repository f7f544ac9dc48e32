//! Two clients of one name, of two issuers and two tenants: what one of them is answered never hangs on what the other
//! did before.

use crate::house::{Caller, House, Reply, sockets_alone};
use crate::signer::Signer;
use http::StatusCode;
use mi_gateway::tasks::Tasks;

/// One may do everything with customers and items of company 100, two reads customers of company 200 and changes them.
const RULES: &str = r#"
@id("one") permit (principal in Group::"one", action in [Action::"read", Action::"write"], resource)
when { context.company == 100 && resource in [Program::"CRS610MI", Program::"MMS200MI"] };
@id("two") permit (principal in Group::"two", action in [Action::"read", Action::"write"], resource in Program::"CRS610MI")
when { context.company == 200 };
"#;

struct Two {
    house: House,
    one: Caller,
    two: Caller,
    _tasks: Tasks,
}

/// Both are called `shop`, and both work as the same user of M3.
async fn two() -> Two {
    let tasks = Tasks::new();
    let (first, second) = (Signer::start(&tasks).await, Signer::start(&tasks).await);
    let state = tempfile::tempdir().expect("a folder");
    let rules = state.path().join("rules");
    std::fs::create_dir(&rules).expect("a folder");
    std::fs::write(rules.join("rules.cedar"), RULES).expect("a file");
    std::fs::write(rules.join("limits.toml"), "[default]\nrate = \"1000/second\"\nburst = 1000\n").expect("a file");
    let house = House::again(state, |settings| {
        settings.policies = rules;
        for (signer, tenant, group, company) in [(&first, "ONE_TST", "one", 100), (&second, "TWO_TST", "two", 200)] {
            signer.trusted(settings, |_| {});
            signer.client(settings, "shop", tenant, group, ("MIDEMO", company));
        }
    })
    .await;
    let one = house.stranger().with_token(&first.token("shop"));
    let two = house.stranger().with_token(&second.token("shop"));
    Two { house, one, two, _tasks: tasks }
}

type Told = (StatusCode, String, Vec<String>);

/// What an answer says, without what is another's each time: ids of requests and decisions, and cursors, which are sealed.
fn told(reply: &Reply) -> Told {
    let mut text = reply.text();
    for name in ["x-request-id", "mi-decision", "mi-next"] {
        let value = reply.header(name);
        if !value.is_empty() {
            text = text.replace(value, name);
        }
    }
    let kept = ["content-type", "etag", "cache-control", "mi-truncated", "www-authenticate"];
    (reply.status, text, kept.map(|name| format!("{name}: {}", reply.header(name))).to_vec())
}

const READ: &str = "CRS610MI/GetBasicData?CUNO=C00001&returncols=CONO,CUNO,CUNM";
const LIST: &str = "CRS610MI/LstByNumber?maxrecs=2&returncols=CONO,CUNO,CUNM";

/// A day's work of one client: reads, lists gone on with, metadata, writes with a key, and things that it may not do.
async fn works(caller: &Caller, own: &str, text: &str) -> Vec<(String, Told)> {
    let mut seen = Vec::new();
    let mut see = |name: &str, reply: &Reply| seen.push((name.to_owned(), told(reply)));
    let base = format!("/{own}/M3/m3api-rest");
    let get = async |path: &str| caller.get(&format!("{base}/{path}")).await;
    see("read", &get(&format!("v2/execute/{READ}")).await);
    see("read again", &get(&format!("v2/execute/{READ}")).await);
    see("read by v1", &get(&format!("execute/{READ}")).await);
    for (name, path) in [
        ("tenant one", format!("/ONE_TST/M3/m3api-rest/v2/execute/{READ}")),
        ("tenant two", format!("/TWO_TST/M3/m3api-rest/v2/execute/{READ}")),
        ("no tenant", format!("/m3api-rest/v2/execute/{READ}")),
    ] {
        see(name, &caller.get(&path).await);
    }
    for company in ["100", "200"] {
        see(company, &get(&format!("v2/execute/{READ}&cono={company}")).await);
    }
    let first = get(&format!("v2/execute/{LIST}")).await;
    see("a list", &first);
    let next = [("mi-next", first.header("mi-next"))];
    see("its next", &caller.get_with(&format!("{base}/v2/execute/{LIST}"), &next).await);
    for path in ["metadata", "metadata/CRS610MI", "metadata/MMS200MI", "v2/metadata/CRS610MI"] {
        let reply = get(path).await;
        see(path, &reply);
        if reply.status == StatusCode::OK {
            let tag = reply.header("etag").to_owned();
            see("held", &caller.get_with(&format!("{base}/{path}"), &[("if-none-match", &tag)]).await);
        }
    }
    see("csrf", &get("csrf").await);
    // Of its own record alone, so that what M3 holds for the other stays what it is.
    let write = format!("{base}/v2/execute/CRS610MI/ChgBasicData?CUNO=C00007&CUNM={text}");
    for name in ["a write", "and again"] {
        see(name, &caller.get_with(&write, &[("idempotency-key", "the-same")]).await);
    }
    let other = format!("{base}/v2/execute/CRS610MI/ChgBasicData?CUNO=C00007&CUNM=Other");
    see("another with its key", &caller.get_with(&other, &[("idempotency-key", "the-same")]).await);
    see("an item", &get("v2/execute/MMS200MI/GetItmBasic?ITNO=A00001&returncols=ITNO,ITDS").await);
    see("what is read", &get("v2/execute/CRS610MI/GetBasicData?CUNO=C00007&returncols=CUNO,CUNM").await);
    see("nothing", &get("v2/execute/CRS610MI/NoSuchThing").await);
    see("no field", &get("v2/execute/CRS610MI/GetBasicData?CUNO=C00001&NOPE=1").await);
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_is_answered_never_hangs_on_what_the_other_did_before() {
    let alone = two().await;
    let first = works(&alone.one, "ONE_TST", "One").await;
    let alone = two().await;
    let second = works(&alone.two, "TWO_TST", "Two").await;
    // Not the same to begin with: else nothing is told apart.
    let differ = first.iter().zip(&second).filter(|(one, two)| one.1 != two.1).count();
    assert!(differ > 10, "{differ}");
    for (name, (status, text, _)) in first.iter().chain(&second) {
        let good = ["read", "read again", "a list", "its next", "metadata", "a write", "and again", "what is read"];
        assert!(!good.contains(&name.as_str()) || *status == StatusCode::OK, "{name}: {status} {text}");
    }
    let both = two().await;
    for round in ["cold", "warm"] {
        // In the second round everything that can be remembered of either is.
        assert_eq!(works(&both.one, "ONE_TST", "One").await, first, "{round}");
        assert_eq!(works(&both.two, "TWO_TST", "Two").await, second, "{round}");
    }
    let both = two().await;
    let (one, other) = tokio::join!(works(&both.one, "ONE_TST", "One"), works(&both.two, "TWO_TST", "Two"));
    assert_eq!((one, other), (first, second), "at the same time");
    // Each write was done once, and in the company of whoever sent it.
    let name = |company| {
        both.house.m3().record("CRS610MI", company, &[("CUNO", "C00007")]).and_then(|row| row.get("CUNM").cloned())
    };
    assert_eq!(
        (name(100).as_deref().map(str::trim_end), name(200).as_deref().map(str::trim_end)),
        (Some("One"), Some("Two"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_for_one_is_worth_nothing_to_the_other() {
    if sockets_alone("both are the same user of M3, whose sessions are looked at here") {
        return;
    }
    let Two { house, one, two, .. } = two().await;
    let list = |base: &str| format!("/{base}/M3/m3api-rest/v2/execute/{LIST}");
    let (first, second) = (one.get(&list("ONE_TST")).await, two.get(&list("TWO_TST")).await);
    let (mine, theirs) = (first.header("mi-next"), second.header("mi-next"));
    assert!(!mine.is_empty() && !theirs.is_empty() && mine != theirs);
    let asked = house.asked().len();
    for (caller, tenant, cursor) in [(&one, "ONE_TST", theirs), (&two, "TWO_TST", mine)] {
        let reply = caller.get_with(&list(tenant), &[("mi-next", cursor)]).await;
        assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::BAD_REQUEST, "cursor-invalid"), "{tenant}");
        let reply = caller.get(&format!("{}&_cursor={cursor}", list(tenant))).await;
        assert_eq!(reply.problem(), "cursor-invalid", "{tenant}");
    }
    assert_eq!(house.asked().len(), asked, "M3 is not asked");
    // The tag of what the other may see is no tag of what I may.
    let path = |tenant: &str| format!("/{tenant}/M3/m3api-rest/metadata");
    let tag = one.get(&path("ONE_TST")).await.header("etag").to_owned();
    let reply = two.get_with(&path("TWO_TST"), &[("if-none-match", &tag)]).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert!(!reply.text().contains("MMS200MI"), "{}", reply.text());
    for header in [first.header("cache-control"), second.header("cache-control")] {
        assert_eq!(header, "no-store");
    }
    assert!(reply.header("cache-control").contains("private"), "{}", reply.header("cache-control"));
    // A session of M3 proves its company: what one asked ran in none of the other's.
    let calls = house.m3().calls();
    let calls: Vec<_> = calls.iter().filter(|call| call.program == "CRS610MI" && !call.technical).collect();
    assert!(calls.len() >= 2);
    for call in calls {
        assert_eq!(call.fields.get("CONO"), Some(&call.company.to_string()), "{call}");
    }
}
