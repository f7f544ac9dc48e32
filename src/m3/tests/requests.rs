//! What is sent for a call, and what is rather not sent.

use super::fake::{Ask, FakeM3, PLAIN, call, change, get, layout, list, ordinary, place, say};
use crate::m3::Error;
use crate::model::{Slot, TransactionName};

/// Answers GetUserInfo with another user's settings.
fn at_home(text: &'static str) -> impl Fn(&Ask<'_>) -> Option<Vec<super::fake::Do>> {
    move |ask| ask.text.starts_with("GetUserInfo").then(|| vec![say(text)])
}

#[tokio::test]
async fn a_write_stands_in_its_columns_and_is_cut_after_the_last() {
    let fake = FakeM3::ordinary().await;
    let layout = layout("ChgBasicData");
    let given = [("CONO", "100"), ("CUNO", "C0001"), ("CRLM", "-12.5"), ("REDA", "20260105")];
    fake.client(|_| {}).call(&call(&layout, &given)).await.expect("an answer");
    assert_eq!(
        fake.asked("ChgBasicData"),
        ["ChgBasicData   100C0001                         -12.5            20260105"]
    );
}

#[tokio::test]
async fn a_user_with_a_comma_is_written_to_with_a_comma() {
    let fake = FakeM3::start(PLAIN, at_home("OK             MICOMMA   100AAAGBYMD,")).await;
    let layout = layout("ChgBasicData");
    fake.client(|_| {}).call(&call(&layout, &[("CUNO", "C1"), ("CRLM", "-12.5")])).await.expect("an answer");
    assert_eq!(fake.asked("ChgBasicData"), ["ChgBasicData      C1                            -12,5"]);
}

#[tokio::test]
async fn a_user_with_another_date_format_is_refused_by_the_settings_name() {
    let fake = FakeM3::start(PLAIN, at_home("OK             MIMDY     100AAAGBMDY.")).await;
    let refused = fake.client(|_| {}).call(&get()).await;
    assert!(matches!(refused, Err(Error::ConventionUnsupported { setting, .. }) if setting == "date format MDY"));
    assert_eq!(fake.asked("GetBasicData"), [""; 0]);
}

#[tokio::test]
async fn a_value_that_does_not_fit_is_refused_and_the_session_stays() {
    let fake = FakeM3::ordinary().await;
    let client = fake.client(|_| {});
    let layout = layout("ChgBasicData");
    let euro = client.call(&call(&layout, &[("CUNM", "5 €")])).await;
    assert!(matches!(euro, Err(Error::NotCarried { field, character: '€' }) if field.as_str() == "CUNM"));
    let long = client.call(&call(&layout, &[("CUNO", "C1234567890")])).await;
    assert!(matches!(long, Err(Error::TooLong { field, most: 10 }) if field.as_str() == "CUNO"));
    client.call(&change()).await.expect("an answer");
    assert_eq!((fake.asked("ChgBasicData").len(), fake.connections()), (1, 1));
}

#[tokio::test]
async fn a_layout_is_confirmed_once_by_each_session() {
    let fake = FakeM3::ordinary().await;
    let client = fake.client(|_| {});
    let get = get();
    for _ in 0..3 {
        client.call(&get).await.expect("an answer");
    }
    assert_eq!(fake.asked("GetInLayout    GetBasicData").len(), 1);
    client.forget(None);
    client.call(&get).await.expect("an answer");
    assert_eq!(fake.asked("GetInLayout    GetBasicData").len(), 2);
}

#[tokio::test]
async fn with_another_layout_nothing_is_sent_and_the_programs_sessions_end() {
    let fake = FakeM3::start(PLAIN, |ask| {
        let wider = ask.text == "GetInLayout    ChgBasicData";
        wider.then(|| vec![say("OK             ;CONO,16,3;CUNO,19,10;CUNM,29,24;CRLM,53,17;REDA,70,10")])
    })
    .await;
    let client = fake.client(|_| {});
    client.call(&get()).await.expect("an answer");
    let error = client.call(&change()).await.expect_err("another layout");
    assert!(matches!(error, Error::LayoutChanged { transaction, .. } if transaction.as_str() == "ChgBasicData"));
    assert!(!error.may_have_been_seen());
    fake.until_ended(0).await;
    assert_eq!(fake.asked("ChgBasicData"), [""; 0]);
    client.call(&get()).await.expect("an answer");
    assert_eq!(fake.connections(), 2);
}

#[tokio::test]
async fn another_layout_of_the_answer_is_as_good_a_reason() {
    let fake = FakeM3::start(PLAIN, |ask| {
        let shifted = ask.text == "GetOutLayout   GetBasicData";
        shifted.then(|| vec![say("OK             ;CONO,16,3;CUNO,19,12;CUNM,31,20")])
    })
    .await;
    let answer = fake.client(|_| {}).call(&get()).await;
    assert!(matches!(answer, Err(Error::LayoutChanged { .. })));
    assert_eq!(fake.asked("GetBasicData"), [""; 0]);
}

#[tokio::test]
async fn a_layout_that_cannot_be_read_is_no_call_of_unknown_outcome() {
    let fake = FakeM3::start(PLAIN, |ask| {
        ask.text.starts_with("GetInLayout").then(|| vec![say("OK             ;CONO,sixteen,3")])
    })
    .await;
    let error = fake.client(|_| {}).call(&change()).await.expect_err("no layout");
    assert!(matches!(error, Error::Protocol { sent: false, .. }), "{error:?}");
    assert!(!error.may_have_been_seen());
}

#[tokio::test]
async fn slots_are_what_the_session_says() {
    let fake = FakeM3::ordinary().await;
    let client = fake.client(|_| {});
    let name = |name: &str| TransactionName::parse(name).expect("a transaction");
    let slots = client.slots(layout("GetBasicData").program, name("ChgBasicData")).await.expect("slots");
    let expected: Vec<Slot> = layout("ChgBasicData").input.fields().iter().map(|field| field.slot()).collect();
    assert_eq!((slots.input, slots.output), (expected, Vec::new()));
    let none = client.slots(layout("GetBasicData").program, name("Nothing")).await.expect("no fields");
    assert!(none.input.is_empty() && none.output.is_empty());
}

#[tokio::test]
async fn the_most_records_are_told_when_they_change() {
    let fake = FakeM3::ordinary().await;
    let client = fake.client(|_| {});
    let mut list = list();
    for most in [5, 5, 0, 0, 5] {
        list.max_records = most;
        client.call(&list).await.expect("an answer");
        client.call(&get()).await.expect("an answer");
    }
    let told = fake.asked("SetLstMaxRec");
    assert_eq!(told, ["SetLstMaxRec   5          ", "SetLstMaxRec   0          ", "SetLstMaxRec   5          "]);
    assert_eq!(fake.connections(), 1);
}

#[tokio::test]
async fn a_session_of_another_company_is_never_used() {
    let fake = FakeM3::ordinary().await;
    let client = fake.client(|_| {});
    let mut elsewhere = change();
    elsewhere.place = place(200, "AAA");
    for _ in 0..3 {
        let refused = client.call(&elsewhere).await;
        let Err(Error::CompanyNotProvable { wanted, found }) = refused else { panic!("{refused:?}") };
        assert_eq!((wanted, found), (place(200, "AAA"), place(100, "AAA")));
    }
    assert_eq!(fake.asked("ChgBasicData"), [""; 0]);
    let logons = fake.asked("PWLOG");
    assert_eq!(logons.len(), 1, "the same question needs no other logon");
    assert!(logons[0].starts_with("PWLOG200AAA "));
}

#[tokio::test]
async fn a_session_of_another_division_serves_only_what_takes_the_division() {
    let fake = FakeM3::ordinary().await;
    let client = fake.client(|_| {});
    let mut without = change();
    without.place = place(100, "BBB");
    assert!(matches!(client.call(&without).await, Err(Error::CompanyNotProvable { .. })));
    let mut with = call(&layout("ChgDivision"), &[("DIVI", "BBB"), ("CUNM", "x")]);
    with.place = place(100, "BBB");
    client.call(&with).await.expect("its own field says the division");
    assert_eq!(fake.asked("ChgDivision"), ["ChgDivision    BBBx"]);
}

#[tokio::test]
async fn what_is_never_answered_is_proven_by_the_next_question() {
    let fake = FakeM3::start(PLAIN, |ask| ask.text.starts_with("SndData").then(Vec::new)).await;
    let client = fake.client(|_| {});
    let send = call(&layout("SndData"), &[("CUNM", "x")]);
    let mut reply = client.call(&send).await.expect("taken");
    assert!(!reply.outcome_reported());
    assert!(reply.next().await.expect("nothing").is_none());
    let mut read = client.call(&get()).await.expect("an answer");
    assert!(read.outcome_reported() && read.next().await.expect("a record").is_some());
    assert_eq!((fake.asked("GetServerTime").len(), fake.connections()), (1, 2), "its session serves nobody else");
}

#[tokio::test]
async fn an_ok_to_what_is_never_answered_is_not_taken_for_the_proof() {
    let fake = FakeM3::start(PLAIN, |ask| ask.text.starts_with("SndData").then(|| vec![say("OK")])).await;
    let error = fake.client(|_| {}).call(&call(&layout("SndData"), &[("CUNM", "x")])).await.expect_err("no proof");
    assert!(matches!(error, Error::Protocol { sent: true, .. }), "{error:?}");
}

#[tokio::test]
async fn a_division_that_is_not_said_is_the_sessions_own_and_has_to_be_the_one_decided() {
    let fake = FakeM3::ordinary().await;
    let client = fake.client(|_| {});
    let silent = |division| {
        let mut silent = call(&layout("ChgDivision"), &[("CUNM", "x")]);
        silent.place = place(100, division);
        silent
    };
    for decided in ["", "BBB"] {
        let refused = client.call(&silent(decided)).await;
        let Err(Error::CompanyNotProvable { wanted, found }) = refused else { panic!("{decided:?}: {refused:?}") };
        assert_eq!((wanted, found), (place(100, decided), place(100, "AAA")));
    }
    assert_eq!(fake.asked("ChgDivision"), [""; 0], "nothing ran in another division than the one decided");
    client.call(&silent("AAA")).await.expect("where the session stands");
}

#[tokio::test]
async fn divisions_that_are_said_share_the_sessions_of_their_company() {
    let fake = FakeM3::ordinary().await;
    let client = fake.client(|_| {});
    for division in ["AAA", "BBB", "CCC"] {
        let mut says = call(&layout("ChgDivision"), &[("DIVI", division), ("CUNM", "x")]);
        says.place = place(100, division);
        client.call(&says).await.expect("M3 took it");
    }
    assert_eq!((fake.asked("ChgDivision").len(), fake.connections()), (3, 1));
}

#[tokio::test]
async fn a_preparation_that_m3_refuses_is_no_answer_to_the_call() {
    let fake = FakeM3::start(PLAIN, |ask| ask.text.starts_with("SetLst").then(|| vec![say("NOK            no")])).await;
    let error = fake.client(|_| {}).call(&list()).await.expect_err("not prepared");
    assert!(matches!(error, Error::Unprepared { .. }) && !error.may_have_been_seen(), "{error:?}");
    assert_eq!(fake.asked("LstByNumber"), [""; 0]);
}

#[tokio::test]
async fn text_behind_the_ok_of_an_empty_list_is_no_record() {
    let words = "OK             No records were found";
    let fake = FakeM3::start(PLAIN, move |ask| ask.text.starts_with("LstByNumber").then(|| vec![say(words)])).await;
    let mut reply = fake.client(|_| {}).call(&list()).await.expect("an answer");
    assert!(reply.next().await.expect("an end").is_none());
}

#[tokio::test]
async fn an_answer_to_what_is_never_answered_leaves_it_unknown_and_ends_the_session() {
    let fake =
        FakeM3::start(PLAIN, |ask| ask.text.starts_with("SndData").then(|| vec![say("NOK            Not so")])).await;
    let client = fake.client(|_| {});
    let error = client.call(&call(&layout("SndData"), &[("CUNM", "x")])).await.expect_err("not understood");
    assert!(error.may_have_been_seen(), "{error:?}");
    fake.until_ended(0).await;
    let mut read = client.call(&get()).await.expect("an answer");
    assert!(read.next().await.expect("a record").is_some(), "and nobody reads what was left over");
}

#[test]
fn what_the_fake_tells_is_what_the_layouts_of_the_tests_say() {
    for name in ["GetBasicData", "LstByNumber", "ChgBasicData", "ChgDivision", "SndData"] {
        let told: String = layout(name)
            .input
            .fields()
            .iter()
            .map(|field| format!(";{},{},{}", field.name, field.from, field.length))
            .collect();
        assert_eq!(ordinary(&format!("GetInLayout    {name}")), format!("OK             {told}"));
    }
}
