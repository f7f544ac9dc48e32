//! Who the caller is to M3, and where: decided once, proven by the session, and the same for everybody.

use crate::house::{Caller, House, sockets_alone};
use bytes::Bytes;
use http::{Method, StatusCode};
use mi_gateway::config::{Backend, Settings};
use mi_gateway::mock_m3::{Kill, Metadata, Profile, ReplyMode};
use mi_gateway::model::{Company, Division, Effect, M3User, ProgramName, Standing, TransactionName};

fn profile(settings: &mut Settings, profile: Profile) {
    if let Backend::Mock { mock, .. } = &mut settings.backend {
        mock.profile = profile;
    }
}

async fn house(user: &str, change: impl FnOnce(&mut Settings)) -> (House, Caller) {
    House::open_to_all(user, "rate = \"1000/second\"\nburst = 2000", change).await
}

#[tokio::test]
async fn for_every_write_the_company_decided_is_the_company_of_the_session() {
    let (house, caller) = house("MIDEMO", |_| {}).await;
    let metadata = Metadata::shipped();
    let mut writes = 0;
    for program in ["CRS610MI", "CRS620MI", "CRS630MI", "MMS200MI", "OIS100MI", "PPS200MI", "PPS370MI"] {
        for transaction in &metadata.program(program).expect("a program").transactions {
            let name = TransactionName::parse(&transaction.name).expect("a name");
            let effect = Effect::of(ProgramName::parse(program).expect("a name"), name);
            if effect != Effect::Write || Effect::is_unanswered(name) {
                continue;
            }
            let mandatory: Vec<String> = transaction
                .input
                .iter()
                .filter(|field| field.mandatory && field.name != "CONO" && field.name != "DIVI")
                .map(|field| format!("{}={}", field.name, if field.kind == 'D' { "20300101" } else { "1" }))
                .collect();
            for company in ["100", "200"] {
                house.m3().clear_calls();
                let call = format!("{program}/{name};cono={company}?{}", mandatory.join("&"));
                let reply = caller.m3(&call).await;
                let calls = house.m3().calls();
                let seen = calls.iter().find(|call| call.transaction == transaction.name);
                let seen = seen.unwrap_or_else(|| panic!("{call} was not asked: {}", reply.text()));
                assert_eq!(seen.company.to_string(), company, "{call}: the session's company");
                if transaction.input.iter().any(|field| field.name == "CONO") {
                    assert_eq!(
                        seen.fields.get("CONO").map(String::as_str),
                        Some(company),
                        "{call}: always sent filled"
                    );
                }
            }
            writes += 1;
        }
    }
    assert!(writes > 70, "{writes}");
}

#[tokio::test]
async fn a_company_that_the_session_cannot_prove_is_refused_before_anything_is_sent() {
    let (house, caller) = house("MIDEMO", |settings| {
        profile(settings, Profile { honours_place: false, ..Profile::default() });
    })
    .await;
    assert_eq!(caller.m3("CRS620MI/GetBasicData?SUNO=S00001").await.status, StatusCode::OK, "at home all is well");
    for call in ["CRS620MI/DelSupplier;cono=200?SUNO=S00001", "CRS610MI/GetBasicData?CONO=200&CUNO=C00001"] {
        let reply = caller.m3(call).await;
        assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::FORBIDDEN, "company-not-provable"), "{call}");
    }
    assert_eq!(house.asked().len(), 1, "{:?}", house.asked());
}

#[tokio::test]
async fn where_somebody_accepted_it_reads_and_only_reads_run_in_an_unproven_company() {
    let (house, caller) = house("MIDEMO", |settings| {
        profile(settings, Profile { honours_place: false, ..Profile::default() });
        if let Backend::Mock { client, .. } = &mut settings.backend {
            client.unproven_reads = true;
        }
    })
    .await;
    let read = caller.m3("CRS610MI/GetBasicData?CONO=200&CUNO=C00001").await;
    assert_eq!(read.records()[0]["CONO"], "200", "the field that was sent says where");
    let write = caller.m3("CRS610MI/ChgBasicData?CONO=200&CUNO=C00001&CUNM=X").await;
    assert_eq!((write.status, write.problem().as_str()), (StatusCode::FORBIDDEN, "company-not-provable"));
    assert_eq!(house.asked(), ["CRS610MI/GetBasicData CONO=200 CUNO=C00001"]);
}

#[tokio::test]
async fn what_the_catalog_can_refuse_is_refused_with_m3_down() {
    let (house, caller) = house("MIDEMO", |_| {}).await;
    // With its place said whole the call teaches the layout, and nobody is asked where the user is at home.
    let whole = caller.m3("CRS610MI/GetBasicData;cono=100;divi=AAA?CUNO=C00001").await;
    assert_eq!(whole.status, StatusCode::OK);
    house.m3().kill_sessions(Kill::Reset);
    house.m3().change_password("MIDEMO", "another");
    assert_eq!(caller.m3("CRS610MI/GetBasicData?CUNO=C00001").await.status, StatusCode::SERVICE_UNAVAILABLE);
    for (call, expected) in [
        ("CRS610MI/GetBasicData?CUNO=C00001&XXXX=1", "InputFieldNotFound"),
        ("CRS610MI/GetBasicData?CUNO=12345678901", "InputFieldTooLong"),
        ("CRS610MI/GetBasicData", "MandatoryInputFieldNotFound"),
    ] {
        let reply = caller.m3(call).await;
        assert_eq!((reply.status, reply.error().0.as_str()), (StatusCode::BAD_REQUEST, expected), "{call}");
    }
}

#[tokio::test]
async fn decimals_are_written_and_read_as_the_m3_user_is_set() {
    let (house, caller) = house("MICOMMA", |settings| {
        profile(
            settings,
            Profile { numbers_right: true, trailing_minus: true, cut_replies: true, ..Profile::default() },
        );
    })
    .await;
    let changed = caller.m3("CRS610MI/ChgFinancial?CUNO=C00001&CRLM=1234.50").await;
    assert_eq!(changed.json()["nrOfSuccessfullTransactions"], 1, "{}", changed.text());
    let held = house.m3().record("CRS610MI", 100, &[("CUNO", "C00001")]).expect("the customer");
    assert_eq!(held["CRLM"], "1234.5");
    assert_eq!(caller.m3("CRS610MI/GetFinancial?CUNO=C00001").await.records()[0]["CRLM"], "1234.5");
}

#[tokio::test]
async fn a_user_whose_dates_are_not_understood_is_refused() {
    if sockets_alone("dates are asked for in one form") {
        return;
    }
    let (_house, caller) = house("MIMDY", |_| {}).await;
    let reply = caller.m3("CRS610MI/GetBasicData?CUNO=C00001&CONO=100&divi=AAA").await;
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "m3-logon-refused"));
}

#[tokio::test]
async fn every_kind_of_server_reads_lists_and_writes() {
    for reply_mode in [ReplyMode::NgConOk, ReplyMode::Plain, ReplyMode::Ucs2, ReplyMode::Win] {
        let house = House::with(|settings| profile(settings, Profile { reply_mode, ..Profile::default() })).await;
        let demo = house.demo().await;
        assert_eq!(demo.m3("CRS610MI/GetBasicData?CUNO=C00001").await.records().len(), 1, "{reply_mode:?}");
        assert_eq!(demo.m3("CRS610MI/LstByNumber?maxrecs=9").await.records().len(), 9, "{reply_mode:?}");
        let changed = demo.m3("CRS610MI/ChgBasicData?CUNO=C00001&CUNM=%C3%85ngstr%C3%B6m").await;
        assert_eq!(changed.json()["nrOfSuccessfullTransactions"], 1, "{reply_mode:?}");
        assert_eq!(
            demo.m3("CRS610MI/GetBasicData?CUNO=C00001").await.records()[0]["CUNM"],
            "Ångström",
            "{reply_mode:?}"
        );
    }
}

#[tokio::test]
async fn a_character_that_m3_cannot_hold_is_named_and_nothing_is_sent() {
    if sockets_alone("its text is UTF-8") {
        return;
    }
    let house =
        House::with(|settings| profile(settings, Profile { reply_mode: ReplyMode::Plain, ..Profile::default() })).await;
    let demo = house.demo().await;
    let reply = demo.m3("CRS610MI/ChgBasicData?CUNO=C00001&CUNM=5%20%E2%82%AC").await;
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::BAD_REQUEST, "character-not-in-charset"));
    assert!(reply.text().contains("CUNM") && reply.text().contains('€'), "{}", reply.text());
    assert_eq!(house.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_gateway_at_an_ordinary_site_works_as_with_a_mock() {
    let (house, caller) = house("MICOMMA", |settings| profile(settings, Profile::site())).await;
    assert_eq!(caller.m3("CRS610MI/LstByNumber?maxrecs=3").await.records().len(), 3);
    let changed = caller.m3("CRS610MI/ChgFinancial?CUNO=C00001&CRLM=-10.25").await;
    assert_eq!(changed.json()["nrOfSuccessfullTransactions"], 1, "{}", changed.text());
    assert_eq!(caller.m3("CRS610MI/GetFinancial?CUNO=C00001").await.records()[0]["CRLM"], "-10.25");
    house.m3().lock_record("CRS610MI", 100, &[("CUNO", "C00001")]);
    let locked = caller.m3("CRS610MI/ChgFinancial?CUNO=C00001&CRLM=1").await;
    assert_eq!((locked.status, locked.error().0.as_str()), (StatusCode::OK, "ServerReturnedNOK"), "{}", locked.text());
    assert_eq!(caller.m3("CRS610MI/GetFinancial?CUNO=C00001").await.records()[0]["CRLM"], "-10.25");
}

#[tokio::test]
async fn sessions_that_fall_silent_leave_no_write_unknown() {
    let life = std::time::Duration::from_millis(400);
    let (house, caller) = house("MIDEMO", |settings| {
        profile(settings, Profile { session_life: Some(life), ..Profile::default() });
        if let Backend::Mock { client, .. } = &mut settings.backend {
            client.pool.fresh_for = std::time::Duration::ZERO;
        }
    })
    .await;
    assert_eq!(caller.m3("CRS610MI/ChgBasicData?CUNO=C00001&CUNM=First").await.status, StatusCode::OK);
    tokio::time::sleep(life * 2).await;
    // The session in the pool is dead and nobody said so: it is asked for a sign of life, and a new one does the write.
    let write = caller.m3("CRS610MI/ChgBasicData?CUNO=C00001&CUNM=Second").await;
    assert_eq!((write.status, write.json()["nrOfSuccessfullTransactions"].as_i64()), (StatusCode::OK, Some(1)));
    assert_eq!(house.m3().record("CRS610MI", 100, &[("CUNO", "C00001")]).expect("a customer")["CUNM"], "Second");
    assert_eq!(house.asked().iter().filter(|call| call.contains("Second")).count(), 1);
}

#[tokio::test]
async fn a_company_that_m3_does_not_open_to_the_user_is_m3s_own_no() {
    let (_house, caller) = house("MI100", |settings| {
        profile(settings, Profile { honours_place: false, ..Profile::default() });
        if let Backend::Mock { client, .. } = &mut settings.backend {
            client.unproven_reads = true;
        }
    })
    .await;
    let reply = caller.m3("CRS610MI/GetBasicData?CONO=200&CUNO=C00001").await;
    let (kind, code, field) = reply.error();
    assert_eq!((kind.as_str(), code.as_str(), field.as_str()), ("ServerReturnedNOK", "XAU0008", "CONO"));
}

#[tokio::test]
async fn nobody_is_somebody_else() {
    let house = House::start().await;
    let demo = house.demo().await;
    assert_eq!(demo.m3("CRS610MI/GetBasicData?CUNO=C00001&m3user=MIDEMO").await.status, StatusCode::OK);
    let other = demo.m3("CRS610MI/GetBasicData?CUNO=C00001&m3user=MIREAD").await;
    assert_eq!((other.status, other.problem().as_str()), (StatusCode::FORBIDDEN, "run-as-refused"));
    house.running.add_client("unmapped", &[], &["readers"]).await.expect("a client");
    let mapped = house.caller("unmapped").await;
    assert_eq!(mapped.m3("CRS610MI/GetBasicData?CUNO=C00001").await.status, StatusCode::OK, "its group has a user");
    let state = house.stop().await;
    let house = House::again(state, |settings| settings.group_users.clear()).await;
    let lone = house.caller("unmapped").await;
    let reply = lone.m3("CRS610MI/GetBasicData?CUNO=C00001").await;
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::FORBIDDEN, "m3-user-missing"));
}

#[tokio::test]
async fn what_m3_never_answers_is_accepted_and_not_reported() {
    let (house, caller) = house("MIDEMO", |_| {}).await;
    let reply = caller.m3("MMS200MI/SndItmDesc?LMDT=20260101").await;
    assert_eq!((reply.status, reply.header("mi-outcome")), (StatusCode::ACCEPTED, "not-reported"), "{}", reply.text());
    assert_eq!(house.asked().len(), 1);
    assert_eq!(caller.m3("MMS200MI/GetItmBasic?ITNO=A00001").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_client_works_where_it_is_bound_to_whatever_the_rules_permit() {
    let (house, _) = house("MIDEMO", |_| {}).await;
    let place = |company, division: &str| {
        (Company::new(company).expect("a company"), Division::parse(division).expect("a division"))
    };
    let standing =
        Standing { companies: vec![place(100, "").0], divisions: vec![place(100, "AAA").1], ..Standing::default() };
    house.running.add_client_with("bound", &[], &["test"], standing).await.expect("a client");
    let bound = house.caller("bound").await;
    assert_eq!(bound.m3("CRS610MI/GetBasicData?CUNO=C00001&divi=AAA").await.status, StatusCode::OK);
    for call in [
        "CRS610MI/GetBasicData?CUNO=C00001&CONO=200",
        "CRS610MI/GetBasicData;cono=200?CUNO=C00001",
        "CRS610MI/ChgBasicData?CUNO=C00001&DIVI=BBB&CUNM=X",
        "CRS610MI/ChgBasicData?CUNO=C00001&divi=&CUNM=X",
    ] {
        let reply = bound.m3(call).await;
        assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::FORBIDDEN, "policy-denied"), "{call}");
    }
    assert_eq!(house.asked().len(), 1, "{:?}", house.asked());
}

#[tokio::test]
async fn what_says_no_division_is_for_whoever_is_bound_to_the_company_as_a_whole() {
    let (house, _) = house("MIDEMO", |_| {}).await;
    let aaa = Division::parse("AAA").expect("a division");
    for (name, divisions) in [("branch", vec![aaa]), ("chief", vec![aaa, Division::BLANK])] {
        let companies = vec![Company::new(100).expect("a company")];
        let standing = Standing { companies, divisions, ..Standing::default() };
        house.running.add_client_with(name, &[], &["test"], standing).await.expect("a client");
    }
    let (branch, chief) = (house.caller("branch").await, house.caller("chief").await);
    // An item is every division's; an order is of a division, and its number doesn't say of which.
    let calls = [
        "MMS200MI/UpdItmBasic;cono=100;divi=AAA?ITNO=A00001&ITDS=Bolt",
        "MMS200MI/GetItmBasic;cono=100;divi=AAA?ITNO=A00001",
        "PPS200MI/ApprovePO;cono=100;divi=AAA?PUNO=2000003",
    ];
    for call in calls {
        let reply = branch.m3(call).await;
        assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::FORBIDDEN, "policy-denied"), "{call}");
        for why in [
            "company 100 as a whole, and this call carries no division that M3 would hold it to",
            "; whoever runs the gateway may let a client work there by \\\"company\\\" among its divisions",
            if call.contains("PUNO") { " (PUNO names the record, of whichever division that is)" } else { " it to;" },
        ] {
            assert!(reply.text().contains(why), "{}", reply.text());
        }
    }
    let item = |transaction: &str, more: &str| {
        format!(r#"{{"transaction":"{transaction}","record":{{"ITNO":"A00001"{more}}}}}"#)
    };
    let body = format!(
        r#"{{"program":"MMS200MI","cono":100,"divi":"AAA","transactions":[{},{}]}}"#,
        item("UpdItmBasic", r#","ITDS":"Bolt""#),
        item("UpdItmWhs", r#","WHLO":"001","STAT":"20""#)
    );
    let headers = [("content-type", "application/json")];
    let bulk = async |who: &Caller| {
        let told = who.send(Method::POST, "/m3api-rest/v2/execute", &headers, Bytes::from(body.clone())).await.json();
        let result = |at: usize| told["results"][at]["errorType"].as_str().unwrap_or("done").to_owned();
        [result(0), result(1)]
    };
    assert_eq!(bulk(&branch).await, ["PolicyDenied", "done"]);
    let asked = |name: &str| house.asked().iter().filter(|call| call.contains(name)).count();
    assert_eq!(["UpdItmBasic", "GetItmBasic", "ApprovePO"].map(asked), [0; 3], "M3 was not asked");
    assert_eq!(branch.m3("MMS200MI/GetServerTime;cono=100;divi=AAA").await.status, StatusCode::OK);
    for call in calls {
        assert_eq!(chief.m3(call).await.status, StatusCode::OK, "{call}");
    }
    assert_eq!(bulk(&chief).await, ["done", "done"]);
    let elsewhere = chief.m3("MMS200MI/UpdItmBasic;cono=100;divi=BBB?ITNO=A00001&ITDS=Bolt").await;
    assert!(elsewhere.text().contains("may not work in company 100, division BBB"), "{}", elsewhere.text());
}

#[tokio::test]
async fn a_division_of_the_client_holds_where_its_company_is_the_users_own() {
    let (house, _) = house("MIDEMO", |_| {}).await;
    let standing = Standing { division: Division::parse("BBB").ok(), ..Standing::default() };
    house.running.add_client_with("branch", &[], &["test"], standing).await.expect("a client");
    let branch = house.caller("branch").await;
    assert_eq!(branch.m3("CRS610MI/GetBasicData?CUNO=C00001").await.status, StatusCode::OK);
    let calls = house.m3().calls();
    let seen = calls.iter().find(|call| call.transaction == "GetBasicData").expect("it was asked");
    assert_eq!((seen.company, seen.division.as_str()), (100, "BBB"));
}

#[tokio::test]
async fn an_extended_answer_repeats_what_was_sent_but_no_secret() {
    let (_house, caller) = house("MIDEMO", |_| {}).await;
    let reply = caller.m3("CRS620MI/UpdSupplier?SUNO=S00001&PWMT=1234&extendedresult=true").await;
    let parameters = &reply.json()["results"][0]["parameters"];
    assert_eq!((&parameters["SUNO"], parameters.get("PWMT")), (&"S00001".into(), None), "{}", reply.text());
}

#[tokio::test]
async fn who_may_run_as_another_is_that_one_to_m3_and_in_the_pool() {
    let (house, _) = house("MIDEMO", |_| {}).await;
    let standing = Standing { run_as: vec![M3User::parse("MIREAD").expect("a user")], ..Standing::default() };
    house.running.add_client_with("batch", &[], &["test"], standing).await.expect("a client");
    let batch = house.caller("batch").await;
    for (option, user) in [("", "MIDEMO"), ("&m3user=MIREAD", "MIREAD"), ("&m3user=MIDEMO", "MIDEMO")] {
        house.m3().clear_calls();
        assert_eq!(batch.m3(&format!("CRS610MI/GetBasicData?CUNO=C00001{option}")).await.status, StatusCode::OK);
        let calls = house.m3().calls();
        let seen = calls.iter().find(|call| call.transaction == "GetBasicData").expect("it was asked");
        assert_eq!(seen.user, user);
    }
    let other = batch.m3("CRS610MI/GetBasicData?CUNO=C00001&m3user=MI100").await;
    assert_eq!((other.status, other.problem().as_str()), (StatusCode::FORBIDDEN, "run-as-refused"));
}

#[tokio::test]
async fn more_callers_than_sessions_are_all_served_and_a_stuck_m3_says_busy() {
    let house = House::with(|settings| {
        if let Backend::Mock { client, .. } = &mut settings.backend {
            client.pool.max_per_key = 2;
            client.pool.max_sessions = 4;
            client.pool.wait = std::time::Duration::from_millis(500);
        }
    })
    .await;
    let demo = house.demo().await;
    let read = "CRS610MI/GetBasicData?CUNO=C00001";
    assert_eq!(demo.m3(read).await.status, StatusCode::OK);
    for reply in futures_util::future::join_all((0..40).map(|_| demo.m3(read))).await {
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    }
    assert!(house.m3().sessions() <= 4);
    house.faults(r#"{"rules":[{"transaction":"GetBasicData","latency_ms":3000}]}"#);
    let replies = futures_util::future::join_all((0..4).map(|_| demo.m3(read))).await;
    let busy: Vec<_> = replies.iter().filter(|reply| reply.status == StatusCode::SERVICE_UNAVAILABLE).collect();
    assert_eq!(busy.len(), 3, "one session is a client's share of two");
    assert!(busy.iter().all(|reply| reply.problem() == "m3-busy" && !reply.header("retry-after").is_empty()));
}
