//! A program whose tasks say whether their numbers are where they are said to be.
//!
//! Its arguments are two distances from the `fs` base: of the current task's number, and of the word that says whether
//! there is one, or 0 where the number says that itself. Prints "right", or what is wrong and fails.

use std::{
    arch::asm,
    future::Future,
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc,
    },
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

#[derive(Clone, Copy)]
struct Places {
    current: i64,
    tag: i64,
}

impl Places {
    /// The number of the current task, as a probe would read it.
    #[inline(never)]
    fn read(self) -> Result<Option<u64>, String> {
        let (number, tag) = (word(self.current), word(if self.tag == 0 { self.current } else { self.tag }));
        match tag {
            0 => Ok(None),
            1 => Ok(Some(number)),
            _ if self.tag == 0 => Ok(Some(number)),
            _ => Err(format!("{tag} where 0 or 1 is expected")),
        }
    }

    fn check(self, who: &str, expected: Option<u64>) {
        if self.read() != Ok(expected) {
            println!("{who}: {expected:?} is expected, there is {:?}", self.read());
            std::process::exit(1);
        }
    }
}

fn word(at: i64) -> u64 {
    let value;
    // SAFETY: the test gives places in the thread's own block, which is readable.
    unsafe { asm!("mov {}, qword ptr fs:[{}]", out(reg) value, in(reg) at, options(nostack, readonly)) };
    value
}

/// What a task knows of itself: its number, once its maker wrote it down.
#[derive(Clone)]
struct Me {
    who: &'static str,
    places: Places,
    number: Arc<AtomicU64>,
    checks: Arc<AtomicU64>,
}

impl Me {
    fn check(&self) {
        self.places.check(self.who, Some(self.number.load(Ordering::Acquire)));
        self.checks.fetch_add(1, Ordering::Relaxed);
    }

    fn knows(&self) -> bool {
        self.number.load(Ordering::Acquire) != 0
    }

    async fn check_often(&self) {
        while !self.knows() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        for _ in 0..20 {
            self.check();
            tokio::task::yield_now().await;
        }
    }
}

/// Makes a task and tells it its number. Versions before 1.42 give it to nobody but in the text of the handle.
fn note<T: std::fmt::Debug>(me: &Me, handle: JoinHandle<T>) -> JoinHandle<T> {
    let text = format!("{handle:?}");
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    me.number.store(digits.parse().expect("a number"), Ordering::Release);
    handle
}

fn make<F>(who: &'static str, places: Places, checks: &Arc<AtomicU64>, task: impl FnOnce(Me) -> F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + std::fmt::Debug + 'static,
{
    let me = Me { who, places, number: Arc::default(), checks: Arc::clone(checks) };
    note(&me, tokio::spawn(task(me.clone())))
}

async fn receive(stream: &TcpStream) -> usize {
    loop {
        stream.readable().await.expect("readable");
        match stream.try_read(&mut [0; 64]) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            result => return result.expect("read"),
        }
    }
}

async fn send(stream: &TcpStream) {
    loop {
        stream.writable().await.expect("writable");
        match stream.try_write(b"hello") {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            result => return assert_eq!(result.expect("write"), 5),
        }
    }
}

async fn tasks(places: Places, checks: &Arc<AtomicU64>) {
    let outside = || places.check("outside of tasks", None);
    outside();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("an address");
    let server = make("server", places, checks, |me| async move {
        me.check_often().await;
        let (stream, _) = listener.accept().await.expect("accept");
        me.check();
        while receive(&stream).await > 0 {
            me.check();
            send(&stream).await;
        }
        me.check();
    });
    let client = make("client", places, checks, |me| async move {
        me.check_often().await;
        let stream = TcpStream::connect(address).await.expect("connect");
        for _ in 0..3 {
            send(&stream).await;
            assert_eq!(receive(&stream).await, 5);
            me.check();
        }
        [0_u8; 3]
    });
    let sums = (0..8_u64).map(|addend| {
        make("sum", places, checks, move |me| async move {
            me.check_often().await;
            addend
        })
    });
    let sums: Vec<_> = sums.collect();
    let checks_inside = Arc::clone(checks);
    let nested = make("maker", places, checks, |me| async move {
        let inner = make("made", me.places, &checks_inside, |me| async move {
            me.check_often().await;
            vec![String::from("text")]
        });
        me.check_often().await;
        let text = inner.await.expect("the inner task");
        me.check();
        text
    });
    let me = Me { who: "blocking", places, number: Arc::default(), checks: Arc::clone(checks) };
    let of_task = me.clone();
    let blocking = tokio::task::spawn_blocking(move || {
        while !of_task.knows() {
            std::thread::yield_now();
        }
        of_task.check();
    });
    note(&me, blocking).await.expect("the blocking task");
    outside();
    client.await.expect("the client");
    server.await.expect("the server");
    let mut sum = 0;
    for handle in sums {
        sum += handle.await.expect("a sum");
        outside();
    }
    assert_eq!(sum, 28);
    assert_eq!(nested.await.expect("the maker"), ["text"]);
    outside();
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse().expect("a distance"));
    let mut next = || arguments.next().expect("two distances");
    let places = Places { current: next(), tag: next() };
    places.check("before the runtime", None);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let checks = Arc::default();
    runtime.expect("a runtime").block_on(tasks(places, &checks));
    places.check("after the runtime", None);
    assert!(checks.load(Ordering::Relaxed) > 200, "tasks hardly ran: {checks:?}");
    println!("right");
}
