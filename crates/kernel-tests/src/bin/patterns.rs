//! Two services, and requests for them, whose paths tell which call belongs to which request.
//!
//! `patterns back PORT` answers every path after two milliseconds. `patterns front PORT BACKEND_URL` has a route for each
//! way in which an async service comes to make a call: `/PATTERN/ID` asks the back for `/back/ID/0`, and for
//! `/back/ID/1` where it makes two calls. `patterns load URL PATTERN COUNT CONCURRENCY` asks a front for `/PATTERN/ID`
//! with ids that count up from 00000000.
#![forbid(unsafe_code)]

use std::{
    env,
    error::Error,
    fmt,
    net::Ipv4Addr,
    process::ExitCode,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{Path, State},
    http::{StatusCode, Uri},
    routing::get,
};
use tokio::{
    net::TcpListener,
    runtime::Builder,
    sync::{mpsc, oneshot},
    task::{JoinSet, spawn_blocking, yield_now},
    time::sleep,
};

/// How to call this program.
const USAGE: &str = "usage: patterns back PORT | patterns front PORT BACKEND_URL | patterns load URL PATTERN COUNT CONCURRENCY";

/// Threads of the front that run tasks: enough for a task to move between two.
const FRONT_WORKERS: usize = 2;

/// How long the back thinks, so that requests overlap.
const BACK_TIME: Duration = Duration::from_millis(2);

/// How long a task sleeps where it sleeps before it calls.
const NAP: Duration = Duration::from_millis(1);

/// How long the blocking work takes.
const WORK: Duration = Duration::from_micros(200);

/// Calls that may wait for the queue's worker.
const QUEUE_LENGTH: usize = 1024;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// An error of any kind that can pass between tasks.
type Failure = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match Role::parse(&arguments).and_then(Role::play) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("patterns: error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What this process is.
#[derive(Debug, PartialEq, Eq)]
enum Role {
    Back { port: u16 },
    Front { port: u16, backend: String },
    Load(Load),
}

impl Role {
    fn parse(arguments: &[String]) -> Result<Self, Failure> {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        match arguments[..] {
            ["back", port] => Ok(Self::Back { port: number("PORT", port)? }),
            ["front", port, backend] => {
                Ok(Self::Front { port: number("PORT", port)?, backend: base_url(backend) })
            }
            ["load", url, pattern, count, concurrency] => Ok(Self::Load(Load {
                url: base_url(url),
                pattern: pattern.to_owned(),
                count: number("COUNT", count)?,
                concurrency: number("CONCURRENCY", concurrency)?,
            })),
            _ => Err(USAGE.into()),
        }
    }

    /// Serves until it is ended, or makes all requests and tells what came of them.
    fn play(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Back { port } => workers(1)?.block_on(serve(port, back()))?,
            Self::Front { port, backend } => {
                workers(FRONT_WORKERS)?.block_on(async { serve(port, front(backend)?).await })?;
            }
            Self::Load(load) => {
                let outcome = workers(1)?.block_on(load.run())?;
                println!("{outcome}");
                if let Some(error) = outcome.first_error {
                    eprintln!("patterns: first error: {error}");
                    return Ok(ExitCode::FAILURE);
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn number<T: FromStr>(name: &str, text: &str) -> Result<T, Failure> {
    text.parse().map_err(|_| format!("{name} is a number, not {text:?}; {USAGE}").into())
}

/// A URL to which a path can be added.
fn base_url(url: &str) -> String {
    url.trim_end_matches('/').to_owned()
}

fn workers(count: usize) -> Result<tokio::runtime::Runtime, Failure> {
    Ok(Builder::new_multi_thread().worker_threads(count).enable_all().build()?)
}

async fn serve(port: u16, service: Router) -> Result<(), Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|error| format!("listen on port {port}: {error}; is another server running?"))?;
    Ok(axum::serve(listener, service).await?)
}

/// Answers every path with that path.
fn back() -> Router {
    Router::new().fallback(async |path: Uri| {
        sleep(BACK_TIME).await;
        path.path().to_owned()
    })
}

/// One route for each pattern.
fn front(backend: String) -> Result<Router, Failure> {
    let pooled = Caller { client: client(usize::MAX)?, backend };
    let fresh = Caller { client: client(0)?, backend: pooled.backend.clone() };
    let (queue, jobs) = mpsc::channel(QUEUE_LENGTH);
    tokio::spawn(work_off(jobs, pooled.clone()));
    Ok(Router::new()
        .route("/pooled/{id}", get(call_directly).with_state(pooled.clone()))
        .route("/fresh/{id}", get(call_directly).with_state(fresh))
        .route("/spawn/{id}", get(call_from_a_new_task).with_state(pooled.clone()))
        .route("/join/{id}", get(call_twice_at_once).with_state(pooled.clone()))
        .route("/yield/{id}", get(call_between_pauses).with_state(pooled.clone()))
        .route("/blocking/{id}", get(call_after_blocking_work).with_state(pooled))
        .route("/queue/{id}", get(call_through_a_queue).with_state(queue))
        .route("/hello", get(async || "hello\n")))
}

/// A client that keeps so many connections for later calls.
fn client(kept: usize) -> Result<reqwest::Client, Failure> {
    Ok(reqwest::Client::builder().pool_max_idle_per_host(kept).timeout(PATIENCE).no_proxy().build()?)
}

/// What a handler needs to call the back.
#[derive(Clone)]
struct Caller {
    client: reqwest::Client,
    backend: String,
}

impl Caller {
    /// Makes the call that is number `call` of the request with this id; returns what the back said.
    async fn call(&self, id: &str, call: usize) -> Result<String, Failed> {
        let answer = self.client.get(format!("{}/back/{id}/{call}", self.backend)).send().await?;
        Ok(answer.error_for_status()?.text().await?)
    }
}

/// A call that came to nothing.
struct Failed(Failure);

impl<E: Into<Failure>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl axum::response::IntoResponse for Failed {
    fn into_response(self) -> axum::response::Response {
        (StatusCode::BAD_GATEWAY, self.0.to_string()).into_response()
    }
}

/// What a handler answers with.
type Answer = Result<String, Failed>;

/// Whether the caller keeps connections is what tells `pooled` from `fresh`.
async fn call_directly(State(caller): State<Caller>, Path(id): Path<String>) -> Answer {
    caller.call(&id, 0).await
}

async fn call_from_a_new_task(State(caller): State<Caller>, Path(id): Path<String>) -> Answer {
    let task = tokio::spawn(async move {
        sleep(NAP).await;
        caller.call(&id, 0).await
    });
    task.await?
}

async fn call_twice_at_once(State(caller): State<Caller>, Path(id): Path<String>) -> Answer {
    let (first, second) = tokio::join!(caller.call(&id, 0), caller.call(&id, 1));
    Ok(first? + "\n" + &second?)
}

async fn call_between_pauses(State(caller): State<Caller>, Path(id): Path<String>) -> Answer {
    sleep(NAP).await;
    let first = caller.call(&id, 0).await?;
    yield_now().await;
    Ok(first + "\n" + &caller.call(&id, 1).await?)
}

async fn call_after_blocking_work(State(caller): State<Caller>, Path(id): Path<String>) -> Answer {
    spawn_blocking(|| spin(WORK)).await?;
    caller.call(&id, 0).await
}

async fn call_through_a_queue(State(queue): State<mpsc::Sender<Job>>, Path(id): Path<String>) -> Answer {
    let (answer, answered) = oneshot::channel();
    queue.send(Job { id, answer }).await?;
    answered.await?
}

/// A call that the queue's worker is to make.
struct Job {
    id: String,
    answer: oneshot::Sender<Answer>,
}

/// Makes the calls of a queue one after the other.
async fn work_off(mut jobs: mpsc::Receiver<Job>, caller: Caller) {
    while let Some(Job { id, answer }) = jobs.recv().await {
        let called = caller.call(&id, 0).await;
        // Whoever asked may have gone away meanwhile.
        let _: Result<(), Answer> = answer.send(called);
    }
}

/// Keeps a processor busy.
fn spin(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// Requests to make of one pattern.
#[derive(Debug, PartialEq, Eq)]
struct Load {
    url: String,
    pattern: String,
    count: u64,
    concurrency: usize,
}

/// What came of them.
#[derive(Debug, Default)]
struct Outcome {
    requests: u64,
    errors: u64,
    first_error: Option<String>,
    took: Duration,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.requests as f64 / self.took.as_secs_f64();
        write!(f, "requests={} errors={} rps={rate:.0}", self.requests, self.errors)
    }
}

impl Load {
    /// Makes all requests over as many connections as may be under way at a time, each of which is kept.
    async fn run(self) -> Result<Outcome, Failure> {
        let start = Instant::now();
        let client = client(self.concurrency)?;
        let (load, next) = (Arc::new(self), Arc::new(AtomicU64::new(0)));
        let mut workers = JoinSet::new();
        for _ in 0..load.concurrency {
            workers.spawn(Arc::clone(&load).ask_in_turn(client.clone(), Arc::clone(&next)));
        }
        let mut total = Outcome::default();
        while let Some(worker) = workers.join_next().await {
            let Outcome { requests, errors, first_error, .. } = worker?;
            total.requests += requests;
            total.errors += errors;
            total.first_error = total.first_error.or(first_error);
        }
        total.took = start.elapsed();
        Ok(total)
    }

    /// Takes ids from the common count and asks for each, until none is left.
    async fn ask_in_turn(self: Arc<Self>, client: reqwest::Client, next: Arc<AtomicU64>) -> Outcome {
        let mut outcome = Outcome::default();
        loop {
            let id = next.fetch_add(1, Ordering::Relaxed);
            if id >= self.count {
                return outcome;
            }
            outcome.requests += 1;
            if let Err(error) = self.ask(&client, &format!("{id:08}")).await {
                outcome.errors += 1;
                outcome.first_error.get_or_insert_with(|| error.to_string());
            }
        }
    }

    /// Asks for one id, which must be told in the answer.
    async fn ask(&self, client: &reqwest::Client, id: &str) -> Result<(), Failure> {
        let answer = client.get(format!("{}/{}/{id}", self.url, self.pattern)).send().await?;
        let answer = answer.error_for_status()?.text().await?;
        if answer.contains(id) { Ok(()) } else { Err(format!("{id} was answered with {answer:?}").into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Role, String> {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Role::parse(&arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn roles_are_told_by_their_arguments() {
        assert_eq!(parse("back 80"), Ok(Role::Back { port: 80 }));
        assert_eq!(
            parse("front 81 http://localhost:80/"),
            Ok(Role::Front { port: 81, backend: "http://localhost:80".to_owned() })
        );
        let load = Load {
            url: "http://localhost:81".to_owned(),
            pattern: "pooled".to_owned(),
            count: 10,
            concurrency: 2,
        };
        assert_eq!(parse("load http://localhost:81 pooled 10 2"), Ok(Role::Load(load)));
    }

    #[test]
    fn what_is_no_role_is_refused_with_the_usage() {
        for line in ["", "back", "back x", "back 70000", "front 1", "load u pooled ten 2", "side 1"] {
            assert!(parse(line).expect_err(line).contains("usage:"), "{line}");
        }
    }

    /// Serves on a free port for as long as the runtime lives.
    async fn served(service: Router) -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("listen");
        let address = listener.local_addr().expect("a bound listener has an address");
        tokio::spawn(async { axum::serve(listener, service).await });
        format!("http://{address}")
    }

    #[test]
    fn every_pattern_makes_its_calls_with_the_requests_id() {
        workers(2).expect("make a runtime").block_on(async {
            let backend = served(back()).await;
            let url = served(front(backend).expect("make a front")).await;
            for (pattern, calls) in [
                ("pooled", 1),
                ("fresh", 1),
                ("spawn", 1),
                ("join", 2),
                ("yield", 2),
                ("blocking", 1),
                ("queue", 1),
            ] {
                let answer = reqwest::get(format!("{url}/{pattern}/00000007")).await.expect(pattern);
                let answer = answer.text().await.expect(pattern);
                let expected: Vec<String> = (0..calls).map(|call| format!("/back/00000007/{call}")).collect();
                assert_eq!(answer, expected.join("\n"), "{pattern}");
                let load = Load { url: url.clone(), pattern: pattern.to_owned(), count: 20, concurrency: 4 };
                let outcome = load.run().await.expect(pattern);
                assert_eq!((outcome.requests, outcome.errors), (20, 0), "{pattern}: {outcome:?}");
            }
        });
    }

    #[test]
    fn errors_are_counted_and_told() {
        workers(1).expect("make a runtime").block_on(async {
            let nobody = "http://127.0.0.1:1".to_owned();
            let url = served(front(nobody).expect("make a front")).await;
            let load = Load { url, pattern: "pooled".to_owned(), count: 3, concurrency: 2 };
            let outcome = load.run().await.expect("ask");
            assert_eq!((outcome.requests, outcome.errors), (3, 3));
            assert!(outcome.first_error.is_some_and(|error| error.contains("502")));
        });
    }
}
