// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Servers in front of an engine that says what it is told, and of one another.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use llamux::{Error, ListedModel, StopReason};
use llamuxd::config::Config;
use llamuxd::engine::{Engine, Later, Outcome, Part, Parts, Question, Vectors};
use llamuxd::keys::{self, Keys};
use llamuxd::listen::{self, Listener};
use llamuxd::server::{router, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// Says again what was said last, a word at a time; and goes on for ever with "on".
#[derive(Default)]
struct Parrot {
    /// Answers that nobody wanted any more.
    left: Arc<AtomicUsize>,
    /// Who asked.
    users: Mutex<Vec<Option<u32>>>,
    /// Whether everybody has asked for too much.
    full: bool,
}

impl Engine for Parrot {
    fn models(&self) -> Result<Vec<ListedModel>, Error> {
        Ok(ListedModel::parse(
            "name=parrot state=ready default=yes bytes=1\n",
        ))
    }

    fn ask(&self, user: Option<u32>, question: Question) -> Parts {
        self.users.lock().unwrap().push(user);
        let (parts, receiver) = mpsc::channel(4);
        if self.full {
            parts.try_send(Err(Error::OverLimit)).unwrap();
            return receiver;
        }
        let left = self.left.clone();
        tokio::spawn(async move {
            let said = question.turns.last().unwrap().1.clone();
            let mut tokens = 0;
            for word in said.split_inclusive(' ') {
                tokens += 1;
                let _ = parts.send(Ok(Part::Text(word.to_owned()))).await;
            }
            let for_ever = said == "on";
            loop {
                let pause = tokio::time::sleep(Duration::from_millis(20));
                tokio::select! {
                    () = parts.closed(), if for_ever => {
                        left.fetch_add(1, Ordering::SeqCst);
                        return;
                    }
                    () = pause, if for_ever => {
                        let _ = parts.send(Ok(Part::Text(" and on".to_owned()))).await;
                    }
                    else => break,
                }
            }
            let end = Outcome {
                prompt_tokens: 7,
                cached_tokens: 3,
                tokens,
                stop_reason: StopReason::End,
                likelihoods: vec![],
            };
            let _ = parts.send(Ok(Part::End(end))).await;
        });
        receiver
    }

    fn embed(
        &self,
        _user: Option<u32>,
        _model: Option<String>,
        _texts: Vec<String>,
    ) -> Later<Result<Vectors, Error>> {
        Box::pin(async { Err(Error::NoModel { reason: None }) })
    }

    fn statistics(&self) -> String {
        String::new()
    }
}

/// Starts a server, and returns its address.
async fn serve(config: &str, engine: Parrot, keys: Option<Keys>) -> (String, Arc<Server>) {
    let config = Config::parse(config).unwrap();
    let server = Server::new(config, Arc::new(engine), keys).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = router(server.clone());
    tokio::spawn(listen::serve(
        vec![Listener::Tcp(listener)],
        router,
        100,
        std::future::pending(),
    ));
    (url, server)
}

fn upstream(url: &str, more: &str) -> String {
    format!("[[upstream]]\nname = \"back\"\nurl = \"{url}/v1\"\nretries = 1\n{more}\n")
}

const ROUTE: &str = "models = [\"parrot\"]";
const ALONE: &str = "[kernel]\nenabled = false\n";

fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(30))
        .build()
        .unwrap()
}

fn asked(said: &str, more: &str) -> String {
    format!(r#"{{"model": "parrot", "messages": [{{"role": "user", "content": "{said}"}}]{more}}}"#)
}

async fn post(url: &str, body: String) -> reqwest::Response {
    let request = client().post(format!("{url}/v1/chat/completions"));
    let request = request
        .header("content-type", "application/json")
        .body(body);
    request.send().await.unwrap()
}

async fn text(url: &str, path: &str) -> String {
    client()
        .get(format!("{url}{path}"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap()
}

async fn until(what: &str, mut is: impl AsyncFnMut() -> bool) {
    for _ in 0..200 {
        if is().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{what} does not come");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_asked_for_and_can_be_changed() {
    let (key, line) = keys::make("anna").unwrap();
    let keys = Keys::parse(&line).unwrap();
    let (url, server) = serve("", Parrot::default(), Some(keys)).await;
    let status = async |key: Option<&str>, path: &str| {
        let mut request = client().get(format!("{url}{path}"));
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        request.send().await.unwrap().status().as_u16()
    };
    for path in ["/v1/models", "/v1/models/parrot", "/metrics"] {
        assert_eq!(status(None, path).await, 401);
        assert_eq!(status(Some("llx-wrong"), path).await, 401);
        assert_eq!(status(Some(&key), path).await, 200);
    }
    assert_eq!(status(None, "/health").await, 200);
    server.set_keys(Some(Keys::parse("").unwrap()));
    assert_eq!(status(Some(&key), "/v1/models").await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_user_of_the_unix_socket_is_told() {
    let dir = std::env::temp_dir().join(format!("llamuxd-test-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("a.sock");
    let config = Config::parse(&format!("[unix]\npath = {path:?}\nmode = \"0600\"\n")).unwrap();
    let parrot = Arc::new(Parrot::default());
    let listeners = listen::listeners(&config).unwrap();
    // One that lives is not taken away.
    assert!(listen::listeners(&config).is_err());
    let server = Server::new(config, parrot.clone(), None).unwrap();
    tokio::spawn(listen::serve(
        listeners,
        router(server),
        100,
        std::future::pending(),
    ));
    let mut stream = tokio::net::UnixStream::connect(&path).await.unwrap();
    let body = asked("hello you", "");
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("hello you"),
        "{answer}"
    );
    let own = rustix::process::geteuid().as_raw();
    assert_eq!(*parrot.users.lock().unwrap(), [Some(own)]);
    // One that was left behind is.
    std::fs::remove_file(&path).unwrap();
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let config = Config::parse(&format!("[unix]\npath = {path:?}\n")).unwrap();
    assert!(listen::listeners(&config).is_ok());
    std::fs::remove_dir_all(&dir).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_from_elsewhere_leave_room_for_those_of_this_machine() {
    let path = std::env::temp_dir().join(format!("llamuxd-room-{}.sock", std::process::id()));
    let config =
        format!("[unix]\npath = {path:?}\nmode = \"0600\"\n[tcp]\nlisten = [\"127.0.0.1:0\"]\n");
    let config = Config::parse(&config).unwrap();
    let listeners = listen::listeners(&config).unwrap();
    let at = listeners.iter().find_map(|listener| match listener {
        Listener::Tcp(listener) => listener.local_addr().ok(),
        Listener::Unix(_) => None,
    });
    let server = Server::new(config, Arc::new(Parrot::default()), None).unwrap();
    tokio::spawn(listen::serve(
        listeners,
        router(server),
        1,
        std::future::pending(),
    ));
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(tokio::net::TcpStream::connect(at.unwrap()).await.unwrap());
    }
    let head = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    // The one place is taken before the next connection is.
    others[0].write_all(&head[..8]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let answered = async {
        let mut stream = tokio::net::UnixStream::connect(&path).await.unwrap();
        stream.write_all(head).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let answer = tokio::time::timeout(Duration::from_secs(10), answered).await;
    assert!(answer.unwrap().starts_with("HTTP/1.1 200"));
    std::fs::remove_file(&path).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_answered_upstream() {
    let (back, _) = serve("", Parrot::default(), None).await;
    let config = format!("{ALONE}{}", upstream(&back, ROUTE));
    let (front, _) = serve(&config, Parrot::default(), None).await;
    let models = text(&front, "/v1/models").await;
    assert!(
        models.contains("\"parrot\"") && models.contains("\"back\""),
        "{models}"
    );
    let answer = post(&front, asked("one two", "")).await;
    assert_eq!(answer.status().as_u16(), 200);
    assert!(answer.text().await.unwrap().contains("one two"));
    let streamed = post(&front, asked("one two", ", \"stream\": true")).await;
    assert_eq!(streamed.headers()["content-type"], "text/event-stream");
    let streamed = streamed.text().await.unwrap();
    assert!(
        streamed.contains("\"one \"") && streamed.ends_with("data: [DONE]\n\n"),
        "{streamed}"
    );
    // What is wrong with a request, the one that answers says.
    let wrong = post(&front, asked("one", ", \"max_tokens\": 0")).await;
    assert_eq!(wrong.status().as_u16(), 400);
    assert!(wrong.text().await.unwrap().contains("max_tokens"));
    let other = post(&front, asked("one", "").replace("parrot", "ara")).await;
    assert_eq!(other.status().as_u16(), 404);
    let metrics = text(&front, "/metrics").await;
    assert!(
        metrics.contains("llamuxd_upstream_requests_total{upstream=\"back\",result=\"200\"} 2"),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_away_ends_the_answer_upstream() {
    let parrot = Parrot::default();
    let left = parrot.left.clone();
    let (back, _) = serve("", parrot, None).await;
    let (front, _) = serve(
        &format!("{ALONE}{}", upstream(&back, ROUTE)),
        Parrot::default(),
        None,
    )
    .await;
    let mut answer = post(&front, asked("on", ", \"stream\": true")).await;
    answer.chunk().await.unwrap().unwrap();
    drop(answer);
    until("the end", async || left.load(Ordering::SeqCst) == 1).await;
    // The same before anything of the answer has come.
    let waiting = tokio::spawn(async move { post(&front, asked("on", "")).await.text().await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    waiting.abort();
    until("the end", async || left.load(Ordering::SeqCst) == 2).await;
}

/// Takes connections and closes all but every `nth`, which gets an answer.
async fn unreliable(nth: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut posts = 0;
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4096];
            let len = stream.read(&mut head).await.unwrap_or(0);
            if !head[..len].starts_with(b"POST") {
                continue;
            }
            posts += 1;
            if posts % nth == 0 {
                let answer =
                    b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nfine";
                stream.write_all(answer).await.unwrap();
            }
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_sent_again_as_long_as_nothing_has_come() {
    let back = unreliable(2).await;
    let (front, _) = serve(
        &format!("{ALONE}{}", upstream(&back, ROUTE)),
        Parrot::default(),
        None,
    )
    .await;
    let answer = post(&front, asked("one", "")).await;
    assert_eq!(answer.text().await.unwrap(), "fine");
    // More often than that it is not.
    let back = unreliable(3).await;
    let (front, _) = serve(
        &format!("{ALONE}{}", upstream(&back, ROUTE)),
        Parrot::default(),
        None,
    )
    .await;
    let answer = post(&front, asked("one", "")).await;
    assert_eq!(answer.status().as_u16(), 502);
    assert!(answer
        .text()
        .await
        .unwrap()
        .contains("upstream_unreachable"));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_one_answers_for_one_that_is_dead() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let dead = format!("[[upstream]]\nname = \"dead\"\nurl = \"http://{gone}/v1\"\n{ROUTE}\n");
    let (back, _) = serve("", Parrot::default(), None).await;
    let (front, server) = serve(
        &format!("{ALONE}{dead}{}", upstream(&back, ROUTE)),
        Parrot::default(),
        None,
    )
    .await;
    for _ in 0..2 {
        let answer = post(&front, asked("still there", "")).await;
        assert!(answer.text().await.unwrap().contains("still there"));
    }
    // It is asked once, and then the other one first.
    let metrics = text(&front, "/metrics").await;
    let once = "llamuxd_upstream_requests_total{upstream=\"dead\",result=\"unreachable\"} 1";
    assert!(metrics.contains(once), "{metrics}");
    assert!(
        metrics.contains("llamuxd_upstream_healthy{upstream=\"dead\"} 0"),
        "{metrics}"
    );
    let health = text(&front, "/health").await;
    assert!(
        health.contains("\"dead\":false") && health.contains("\"status\":\"ok\""),
        "{health}"
    );
    // Who is asked how it is now and then, comes back.
    let listener = TcpListener::bind(gone).await.unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                .await;
        }
    });
    server.upstreams.watch();
    until("it", async || {
        text(&front, "/health").await.contains("\"dead\":true")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_goes_elsewhere() {
    let (back, _) = serve("", Parrot::default(), None).await;
    let limits = "[limits]\nconcurrent = 1\nqueue = 1\n";
    let spare = upstream(
        &back,
        "models = [\"parrot\"]\nmode = \"overflow\"\nwhen_waiting = 0",
    );
    let (front, _) = serve(&format!("{limits}{spare}"), Parrot::default(), None).await;
    let counted = async || {
        text(&front, "/metrics")
            .await
            .contains("upstream=\"back\",result=\"200\"} 1")
    };
    // The first one is answered here.
    let mut here = post(&front, asked("on", ", \"stream\": true")).await;
    here.chunk().await.unwrap().unwrap();
    assert!(!counted().await);
    let there = post(&front, asked("elsewhere", "")).await;
    assert!(there.text().await.unwrap().contains("elsewhere"));
    assert!(counted().await);
    // Who has asked the kernel for too much is helped, too.
    let parrot = Parrot {
        full: true,
        ..Parrot::default()
    };
    let spare = upstream(
        &back,
        "models = [\"parrot\"]\nmode = \"overflow\"\nwhen_waiting = 9",
    );
    let (front, _) = serve(&spare, parrot, None).await;
    assert!(post(&front, asked("helped", ""))
        .await
        .text()
        .await
        .unwrap()
        .contains("helped"));
    // Without anybody to help, it is said.
    let parrot = Parrot {
        full: true,
        ..Parrot::default()
    };
    let (front, _) = serve("", parrot, None).await;
    let refused = post(&front, asked("helped", "")).await;
    assert_eq!(refused.status().as_u16(), 429);
    assert!(refused.headers().contains_key("retry-after"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_has_no_place_for_ever() {
    let limits = "[limits]\nconcurrent = 1\ntimeout_seconds = 1\n";
    let (url, server) = serve(limits, Parrot::default(), None).await;
    // Far more than there is room for on the way.
    let answer = post(&url, asked(&"a ".repeat(100_000), ", \"stream\": true")).await;
    assert_eq!(answer.status().as_u16(), 200);
    let next = post(&url, asked("next", "")).await;
    assert!(next.text().await.unwrap().contains("next"));
    assert_eq!(server.metrics.cancelled.get(), 1);
    drop(answer);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_circle_is_found() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let config = Config::parse(&format!("{ALONE}{}", upstream(&url, ROUTE))).unwrap();
    let server = Server::new(config, Arc::new(Parrot::default()), None).unwrap();
    tokio::spawn(listen::serve(
        vec![Listener::Tcp(listener)],
        router(server),
        100,
        std::future::pending(),
    ));
    assert_eq!(post(&url, asked("round", "")).await.status().as_u16(), 508);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_has_another_name_there() {
    let (back, _) = serve("", Parrot::default(), None).await;
    let more = "models = [\"bird\"]\nremote_model = \"parrot\"";
    let (front, _) = serve(
        &format!("{ALONE}{}", upstream(&back, more)),
        Parrot::default(),
        None,
    )
    .await;
    let answer = post(&front, asked("one", "").replace("parrot", "bird")).await;
    assert_eq!(answer.status().as_u16(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn web_pages_of_chosen_origins_may_ask() {
    let (url, _) = serve(
        "[cors]\norigins = [\"https://example.org\"]\n",
        Parrot::default(),
        None,
    )
    .await;
    let preflight = async |url: &str, origin: &str| {
        let request = client().request(
            reqwest::Method::OPTIONS,
            format!("{url}/v1/chat/completions"),
        );
        let request = request
            .header("origin", origin)
            .header("access-control-request-method", "POST");
        let answer = request.send().await.unwrap();
        answer
            .headers()
            .get("access-control-allow-origin")
            .map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(
        preflight(&url, "https://example.org").await.as_deref(),
        Some("https://example.org")
    );
    assert_eq!(preflight(&url, "https://example.com").await, None);
    let (url, _) = serve("", Parrot::default(), None).await;
    assert_eq!(preflight(&url, "https://example.org").await, None);
}
