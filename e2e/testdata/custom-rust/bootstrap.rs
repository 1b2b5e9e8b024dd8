// A function in Rust with nothing but the standard library: one thread for each
// invocation that it may have at a time, each of which polls the Runtime API.
use std::env;
use std::io::{Read, Result, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

static IN_FLIGHT: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

/// Makes one request and returns the head and the body of the answer.
fn call(method: &str, path: &str, body: &str) -> Result<(String, String)> {
    let mut api = TcpStream::connect(env::var("AWS_LAMBDA_RUNTIME_API").expect("an address"))?;
    write!(
        api,
        "{method} /2018-06-01/runtime/{path} HTTP/1.1\r\nHost: api\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    api.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    Ok((head.to_string(), body.to_string()))
}

fn serve() -> Result<()> {
    let (head, event) = call("GET", "invocation/next", "")?;
    let id = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("Lambda-Runtime-Aws-Request-Id"))
        .expect("a request id")
        .1;
    println!("serving {id}");
    MOST.fetch_max(IN_FLIGHT.fetch_add(1, SeqCst) + 1, SeqCst);
    let wait: String = event.split("\"wait\":").nth(1).unwrap_or("0").chars().take_while(char::is_ascii_digit).collect();
    thread::sleep(Duration::from_millis(wait.parse().unwrap_or(0)));
    IN_FLIGHT.fetch_sub(1, SeqCst);
    if event.contains("abort") {
        std::process::abort();
    }
    if event.contains("error") {
        let failure = r#"{"errorType":"Rust.Bad","errorMessage":"out of range"}"#;
        call("POST", &format!("invocation/{id}/error"), failure)?;
        return Ok(());
    }
    let max = env::var("AWS_LAMBDA_MAX_CONCURRENCY").unwrap_or_default();
    let most = MOST.load(SeqCst);
    let answer = format!(r#"{{"event":{event},"max":"{max}","most":{most}}}"#);
    call("POST", &format!("invocation/{id}/response"), &answer)?;
    Ok(())
}

fn poll() {
    loop {
        serve().expect("the Runtime API");
    }
}

fn main() {
    let at_once = env::var("AWS_LAMBDA_MAX_CONCURRENCY").map_or(1, |n| n.parse().unwrap_or(1));
    for _ in 1..at_once {
        thread::spawn(poll);
    }
    poll();
}
