//! What attackers do with the frames of HTTP/2: their connection ends, and nobody else notices.
//!
//! Every attack goes on for far longer than it is let; meanwhile another caller is served.

use crate::attacker::{
    ACK, Attacker, CALM, CONTINUATION, DATA, END_HEADERS, END_STREAM, HANGS, HAS_PRIORITY, HEADERS, PING, PRIORITY,
    REFUSED_STREAM, RST_STREAM, SETTINGS, Said, WINDOW_UPDATE, block, frame, get, post, setting,
};
use crate::house::{Caller, House};
use http::StatusCode;
use mi_gateway::config::Settings;
use std::time::Duration;

const READ: &str = "CRS610MI/GetBasicData?CUNO=C00001";
const PATH: &str = "/m3api-rest/v2/execute/CRS610MI/GetBasicData?CUNO=C00001";
const INITIAL_WINDOW: u16 = 4;

/// What is said at each turn of an attack.
type Turn<'a> = &'a dyn Fn(u32) -> Vec<u8>;

/// How many connections of the public door ended for this reason.
fn ended(house: &House, reason: &str) -> u64 {
    house.running.metrics.connections_ended.with_label_values(&["public", reason]).get()
}

async fn soon(what: &str, fact: impl Fn() -> bool) {
    let waited = async {
        while !fact() {
            crate::house::a_moment().await;
        }
    };
    assert!(tokio::time::timeout(HANGS, waited).await.is_ok(), "{what}");
}

/// Somebody else, who is served while the other thing goes on.
async fn while_served<T>(caller: &Caller, attack: impl Future<Output = T>) -> T {
    let mut attack = std::pin::pin!(attack);
    let mut served = 0;
    loop {
        tokio::select! {
            biased;
            reply = caller.m3(READ) => {
                assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
                served += 1;
            }
            came = &mut attack, if served > 0 => return came,
        }
    }
}

/// Opens the odd stream of this turn.
fn stream(at: u32) -> u32 {
    2 * at + 1
}

async fn flooded(house: &House, caller: &Caller, most: usize, next: impl FnMut(u32) -> Vec<u8>) -> Said {
    while_served(caller, Attacker::of(house, &[]).await.flood(most, next)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_opened_and_taken_back_in_one_breath_end_the_connection() {
    let house = House::start().await;
    let demo = house.demo().await;
    let (path, token) = (get(PATH, demo.token.as_deref().unwrap_or_default()), 8u32.to_be_bytes());
    let asked = house.asked().len();
    let said = flooded(&house, &demo, 20_000, |at| {
        [frame(HEADERS, END_HEADERS | END_STREAM, stream(at), &path), frame(RST_STREAM, 0, stream(at), &token)].concat()
    })
    .await;
    assert_eq!(said.goaway, Some(CALM), "{said:?}");
    let served_to_others = 1_000;
    assert!(house.asked().len() - asked < served_to_others, "{} calls reached M3", house.asked().len());
}

/// Each request has begun before it is taken back: the library counts none of these.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_taken_back_once_they_have_begun_end_the_connection() {
    let house = House::start().await;
    let demo = house.demo().await;
    let mut attacker = Attacker::of(&house, &[]).await;
    let (post, cancel) = (post(), 8u32.to_be_bytes());
    let attack = async {
        for at in 0..5_000 {
            let begin = [frame(HEADERS, END_HEADERS, stream(at), &post), frame(PING, 0, 0, &[7; 8])].concat();
            let begun = attacker.say(&begin).await && attacker.from.pong().await;
            if !begun || !attacker.say(&frame(RST_STREAM, 0, stream(at), &cancel)).await {
                return at;
            }
        }
        5_000
    };
    let begun = while_served(&demo, attack).await;
    assert!((200..600).contains(&begun), "{begun} requests were begun for nothing");
    soon("it ends as a flood", || ended(&house, "flood") == 1).await;
}

/// CVE-2025-8671: the gateway itself is brought to reset, by one fault after another.
#[tokio::test(flavor = "multi_thread")]
async fn who_makes_us_reset_stream_after_stream_loses_the_connection() {
    let house = House::start().await;
    let demo = house.demo().await;
    let (post, get) = (post(), get("/", ""));
    let open = |at: u32| frame(HEADERS, END_HEADERS, stream(at), &post);
    let asked = |at: u32| frame(HEADERS, END_HEADERS | END_STREAM, stream(at), &get);
    let to_itself = |at: u32| [&stream(at).to_be_bytes()[..], &[16]].concat();
    let short = block(&[
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", "/"),
        ("content-length", "5"),
    ]);
    let upper = block(&[(":method", "GET"), (":scheme", "https"), (":path", "/"), ("X-Upper", "1")]);
    let faults: &[(&str, Turn<'_>)] = &[
        ("a window of nothing", &|at| [open(at), frame(WINDOW_UPDATE, 0, stream(at), &[0; 4])].concat()),
        ("a window over its bounds", &|at| {
            [open(at), frame(WINDOW_UPDATE, 0, stream(at), &i32::MAX.to_be_bytes())].concat()
        }),
        ("a stream that depends on itself", &|at| [open(at), frame(PRIORITY, 0, stream(at), &to_itself(at))].concat()),
        ("one that does so from its beginning", &|at| {
            let begin = [&to_itself(at), &post[..]].concat();
            frame(HEADERS, END_HEADERS | HAS_PRIORITY, stream(at), &begin)
        }),
        ("data behind the end", &|at| [asked(at), frame(DATA, 0, stream(at), b"x")].concat()),
        ("a head behind the end", &|at| [asked(at), asked(at)].concat()),
        ("trailers that end nothing", &|at| [open(at), open(at)].concat()),
        ("a body shorter than said", &|at| frame(HEADERS, END_HEADERS | END_STREAM, stream(at), &short)),
        ("a body longer than said", &|at| {
            [frame(HEADERS, END_HEADERS, stream(at), &short), frame(DATA, END_STREAM, stream(at), &[0; 6])].concat()
        }),
        ("a name that is none", &|at| frame(HEADERS, END_HEADERS | END_STREAM, stream(at), &upper)),
        ("a head of nothing", &|at| frame(HEADERS, END_HEADERS | END_STREAM, stream(at), &[])),
    ];
    for (what, fault) in faults {
        let said = flooded(&house, &demo, 20_000, fault).await;
        assert!(said.resets.len() <= 300, "{what}: {} resets", said.resets.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_goes_on_and_on_ends_the_connection() {
    let house = House::start().await;
    let demo = house.demo().await;
    let begin = frame(HEADERS, 0, 1, &get("/", ""));
    for (what, more) in [
        ("with nothing", frame(CONTINUATION, 0, 1, &[])),
        ("with fields", frame(CONTINUATION, 0, 1, &block(&[("x", "y")]))),
        (
            "with one long field",
            frame(CONTINUATION, 0, 1, &[&[0, 1, b'x', 127, 255, 255, 127][..], &[b'y'; 9_000]].concat()),
        ),
    ] {
        let said = flooded(&house, &demo, 100_000, |at| if at == 0 { begin.clone() } else { more.clone() }).await;
        assert!(said.goaway.is_none_or(|code| code != 0), "{what}: {said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_carry_nothing_end_the_connection_when_there_are_too_many() {
    let house = House::start().await;
    let demo = house.demo().await;
    let one = 1u32.to_be_bytes();
    let window = |at: u32| frame(SETTINGS, 0, 0, &setting(INITIAL_WINDOW, 1_000 + at % 2));
    let floods: &[(&str, Turn<'_>)] = &[
        ("pings", &|_| frame(PING, 0, 0, &[1; 8])),
        ("answers to pings that nobody sent", &|_| frame(PING, ACK, 0, &[1; 8])),
        ("settings", &|_| frame(SETTINGS, 0, 0, &[])),
        ("settings that change every stream", &window),
        ("priorities", &|at| frame(PRIORITY, 0, stream(at), &[0, 0, 0, 0, 1])),
        ("a window by the byte", &|_| frame(WINDOW_UPDATE, 0, 0, &one)),
        ("frames of a kind that is none", &|_| frame(0xbb, 0, 0, &[])),
    ];
    for (at, (what, flood)) in floods.iter().enumerate() {
        let said = flooded(&house, &demo, 200_000, flood).await;
        assert!(said.frames.iter().sum::<usize>() < 10_000, "{what}: answered {:?}", said.frames);
        assert_eq!(ended(&house, "flood"), at as u64 + 1, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn data_of_nothing_ends_the_connection() {
    let house = House::start().await;
    let demo = house.demo().await;
    let begin = frame(HEADERS, END_HEADERS, 1, &post());
    for (what, more) in [("empty", frame(DATA, 0, 1, &[])), ("padded", frame(DATA, 8, 1, &[3, 0, 0, 0]))] {
        let said = flooded(&house, &demo, 100_000, |at| if at == 0 { begin.clone() } else { more.clone() }).await;
        assert_eq!(said.goaway, Some(CALM), "{what}: {said:?}");
    }
}

/// A field of 4,000 bytes is sent once and then named sixteen thousand times: 64 MB from 16 KB.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_grows_when_it_is_unpacked_ends_the_connection() {
    let house = House::start().await;
    let demo = house.demo().await;
    let mut kept = vec![0x40, 1, b'x', 127, 0xa1, 0x1e];
    kept.extend(vec![b'y'; 127 + 33 + 30 * 128]);
    let first = [get("/", ""), kept].concat();
    let bomb = [get("/", ""), vec![0xbe; 16_000]].concat();
    let said = flooded(&house, &demo, 20_000, |at| {
        frame(HEADERS, END_HEADERS | END_STREAM, stream(at), if at == 0 { &first } else { &bomb })
    })
    .await;
    assert_eq!(said.goaway, Some(CALM), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_beyond_their_number_are_refused_and_then_the_connection_ends() {
    let house = House::start().await;
    let demo = house.demo().await;
    let post = post();
    let mut attacker = Attacker::of(&house, &[]).await;
    let some: Vec<u8> = (0..250).flat_map(|at| frame(HEADERS, END_HEADERS, stream(at), &post)).collect();
    assert!(attacker.say(&[some, frame(PING, 0, 0, &[1; 8])].concat()).await && attacker.from.pong().await);
    soon("as many begin as there may be", || house.running.metrics.http_in_flight.get() == 200).await;
    let said =
        while_served(&demo, attacker.flood(20_000, |at| frame(HEADERS, END_HEADERS, stream(at + 250), &post))).await;
    assert!(said.resets.iter().all(|code| *code == REFUSED_STREAM), "{:?}", said.resets);
    assert!(said.resets.len() < 300 && said.goaway == Some(CALM), "{said:?}");
}

async fn no_session_is_held(house: &House) {
    let busy = house.running.metrics.m3_sessions.with_label_values(&["busy"]);
    soon("no session of M3 is held", || busy.get() == 0).await;
}

const LIST: &str = "/m3api-rest/v2/execute/CRS610MI/LstByNumber?maxrecs=0";
const METADATA: &str = "/m3api-rest/metadata/CRS610MI";

fn impatient(settings: &mut Settings) {
    (settings.edge.limits.write_stall, settings.edge.limits.idle) =
        (Duration::from_millis(500), Duration::from_millis(500));
}

fn many(count: u32, path: &str, caller: &Caller) -> Vec<u8> {
    let head = get(path, caller.token.as_deref().unwrap_or_default());
    (0..count).flat_map(|at| frame(HEADERS, END_HEADERS | END_STREAM, stream(at), &head)).collect()
}

/// Small and at once, long and read from M3 as it goes: whoever does not take his answers loses them.
#[tokio::test(flavor = "multi_thread")]
async fn who_gives_no_room_for_answers_loses_the_connection_and_holds_no_session() {
    let house = House::with(impatient).await;
    let demo = house.demo().await;
    for (path, window) in [(PATH, 0), (PATH, 1), (LIST, 0), (LIST, 1), (METADATA, 0), (METADATA, 1)] {
        let mut attacker = Attacker::of(&house, &setting(INITIAL_WINDOW, window)).await;
        assert!(attacker.say(&many(50, path, &demo)).await);
        let said = while_served(&demo, attacker.from.end()).await;
        assert!(said.frames[usize::from(HEADERS)] > 0, "{path} with {window}: it was answered, {said:?}");
        no_session_is_held(&house).await;
    }
    assert!(ended(&house, "write_stall") >= 4, "all but the smallest, which wait nowhere but in their connection");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_answers_by_the_byte_loses_the_connection() {
    let house = House::start().await;
    let demo = house.demo().await;
    let mut attacker = Attacker::of(&house, &setting(INITIAL_WINDOW, 0)).await;
    assert!(attacker.say(&many(20, METADATA, &demo)).await);
    while attacker.from.said.frames[usize::from(HEADERS)] < 20 {
        assert!(attacker.from.next().await.is_some());
    }
    let one = 1u32.to_be_bytes();
    for byte in 1..=100 {
        assert!(attacker.say(&frame(WINDOW_UPDATE, 0, 1, &one)).await);
        while attacker.from.said.frames[usize::from(DATA)] < byte {
            assert!(attacker.from.next().await.is_some(), "so far he is served");
        }
    }
    let attack = attacker.flood(200_000, |at| frame(WINDOW_UPDATE, 0, stream(at % 20), &one));
    while_served(&demo, attack).await;
    assert_eq!(ended(&house, "flood"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_much_and_reads_nothing_loses_the_connection() {
    let house = House::with(|settings| settings.edge.limits.write_stall = Duration::from_millis(500)).await;
    let demo = house.demo().await;
    // All the room that the protocol has, and a socket that nobody reads.
    let mut attacker = Attacker::of(&house, &setting(INITIAL_WINDOW, i32::MAX as u32)).await;
    assert!(attacker.say(&frame(WINDOW_UPDATE, 0, 0, &0x7fff_0000u32.to_be_bytes())).await);
    assert!(attacker.say(&many(200, METADATA, &demo)).await);
    while_served(&demo, soon("it ends as a stall", || ended(&house, "write_stall") == 1)).await;
}
