//! What stands behind m3api-rest's URL is not M3, or not well: every caller is answered, and a write is told rightly.

use crate::rest::{READ, WRITE, before, mock};
use http::StatusCode;
use mi_gateway::mock_m3::Profile;
use mi_gateway::tasks::Tasks;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Answers the gateway's own questions well, and every other request with these bytes, again and again where told.
async fn hostile(tasks: &Tasks, answer: &'static [u8], again: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let (_, good) = mock(tasks, Profile::default()).await;
    let good: SocketAddr = good.trim_start_matches("http://").parse().expect("an address");
    let serving = tasks.clone();
    tasks.spawn_until_stop(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            serving.spawn_until_stop(async move {
                let mut request = vec![0; 16 * 1024];
                let length = stream.read(&mut request).await.unwrap_or(0);
                let head = String::from_utf8_lossy(&request[..length]).into_owned();
                if head.contains("/GetBasicData") || head.contains("/ChgBasicData") {
                    while stream.write_all(answer).await.is_ok() && again {}
                    return;
                }
                let mut on = tokio::net::TcpStream::connect(good).await.expect("the mock");
                let once = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
                on.write_all(once.as_bytes()).await.expect("it listens");
                let _ = tokio::io::copy(&mut on, &mut stream).await;
            });
        }
    });
    base
}

#[tokio::test]
async fn an_answer_that_is_none_of_m3s_neither_stalls_nor_fells_the_gateway() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let endless_blanks: &'static [u8] =
        Box::leak(format!("{HEAD}8000\r\n{}\r\n", " ".repeat(0x8000)).into_bytes().into());
    for (answer, again, read) in [
        (&b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>"[..], false, "m3-incomprehensible"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", false, "m3-unreachable"),
        (b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n", false, "m3-unreachable"),
        (b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", false, "m3-unreachable"),
        (b"not HTTP at all\r\n\r\n", false, "m3-unreachable"),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"results\":[{\"records\":[{\"CUNO\":",
            false,
            "m3-unreachable",
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 44\r\n\r\n{\"results\":[{\"records\":[{\"CUNO\":{\"a\":1}}]}]}",
            false,
            "m3-incomprehensible",
        ),
        (endless_blanks, true, "m3-unreachable"),
    ] {
        let tasks = Tasks::new();
        let base = hostile(&tasks, answer, again).await;
        let (_house, caller) = before(&base, |_| {}).await;
        let told = String::from_utf8_lossy(&answer[..answer.len().min(120)]).into_owned();
        let reply = tokio::time::timeout(Duration::from_secs(20), caller.m3(READ)).await.expect("an answer in time");
        let problem = reply.problem();
        assert!(problem == read || (again && problem == "m3-incomprehensible"), "{told}: {problem}");
        let write = tokio::time::timeout(Duration::from_secs(20), caller.m3(WRITE)).await.expect("an answer in time");
        assert_eq!(write.problem(), "outcome-unknown", "{told}");
    }
}

#[tokio::test]
async fn what_was_refused_at_the_door_is_never_said_to_be_unknown() {
    for (answer, refused) in [
        (&b"HTTP/1.1 400 Bad Request\r\ncontent-length: 15\r\n\r\n{\"message\":\"x\"}"[..], true),
        (b"HTTP/1.1 400 Bad Request\r\ncontent-length: 6\r\n\r\n<html>", true),
        (b"HTTP/1.1 400 Bad Request\r\ncontent-length: 99\r\n\r\n{\"results\":[", true),
        (b"HTTP/1.1 400 Bad Request\r\ncontent-length: 44\r\n\r\n{\"results\":[{\"transaction\":\"T\",\"records\":[]}]}", true),
        (b"HTTP/1.1 414 URI Too Long\r\ncontent-length: 0\r\n\r\n", false),
    ] {
        let tasks = Tasks::new();
        let base = hostile(&tasks, answer, false).await;
        let (_house, caller) = before(&base, |_| {}).await;
        let told = String::from_utf8_lossy(answer).into_owned();
        let write = caller.m3(WRITE).await;
        if refused {
            assert_eq!((write.status, write.error().0.as_str()), (StatusCode::OK, "ServerReturnedNOK"), "{told}");
        } else {
            assert_eq!(write.problem(), "m3-incomprehensible", "{told}");
        }
    }
}
