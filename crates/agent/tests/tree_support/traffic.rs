//! Random traffic of several processes, and who truly caused what.

use std::collections::HashMap;

use proptest::prelude::*;

use super::{Conn, Event, MS, Sim, Thread, UNTRACED, US, polling, run::Run, waiting};

/// What traffic is made from.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whether each process serves a request by thread; else its threads serve whatever is there.
    pub by_thread: Vec<bool>,
    pub roots: Vec<Root>,
}

/// A request that nobody's request caused.
#[derive(Clone, Debug)]
pub struct Root {
    at_us: u64,
    /// A traced process makes it.
    traced: bool,
    to: prop::sample::Index,
    seed: u64,
}

pub fn plan() -> impl Strategy<Value = Plan> {
    let root = (0..60_000u64, any::<bool>(), any::<prop::sample::Index>(), any::<u64>())
        .prop_map(|(at_us, traced, to, seed)| Root { at_us, traced, to, seed });
    (prop::collection::vec(any::<bool>(), 1..4), prop::collection::vec(root, 1..12))
        .prop_map(|(by_thread, roots)| Plan { by_thread, roots })
}

/// Random numbers that follow from a seed.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// One of `0..below`.
    pub fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % below
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.roll(chances) == 0
    }
}

/// Traffic and the truth about it.
pub struct Traffic {
    pub sim: Sim,
    /// Path of the request that caused the one with this path.
    pub causes: HashMap<String, Option<String>>,
    /// Paths of calls by traced processes that serve by thread.
    pub by_thread: Vec<String>,
    /// Paths of requests of which both ends are traced.
    pub both_ends: Vec<String>,
    kinds: Vec<bool>,
    pool: Vec<Pooled>,
}

struct Pooled {
    from: u32,
    to: usize,
    conn: Conn,
    number: u32,
    free_ns: u64,
}

/// Who makes a call.
#[derive(Clone)]
enum Caller {
    Nobody(Thread),
    Thread(Thread, String),
    Any(usize, String),
}

/// A process that serves nobody.
const GENERATOR: Thread = Thread { tgid: 900, tid: 900, blocking: true, ..UNTRACED };

impl Traffic {
    pub fn new(plan: &Plan) -> Self {
        let mut traffic = Self {
            sim: Sim::default(),
            causes: HashMap::new(),
            by_thread: Vec::new(),
            both_ends: Vec::new(),
            kinds: plan.by_thread.clone(),
            pool: Vec::new(),
        };
        for (number, root) in plan.roots.iter().enumerate() {
            let from = Thread { tid: 900 + number as u32, ..GENERATOR };
            let caller = Caller::Nobody(if root.traced { from } else { UNTRACED });
            let to = root.to.index(plan.by_thread.len());
            traffic.exchange(caller, to, MS + root.at_us * US, 3, &mut Dice::new(root.seed));
        }
        traffic
    }

    /// A request and all that it causes; returns when the caller has its answer.
    fn exchange(&mut self, caller: Caller, to: usize, at_ns: u64, depth: u64, dice: &mut Dice) -> u64 {
        let path = format!("/{}", self.causes.len());
        let (from, cause) = match &caller {
            Caller::Nobody(thread) => (thread.tgid, None),
            Caller::Thread(thread, cause) => (thread.tgid, Some(cause.clone())),
            Caller::Any(process, cause) => (tgid(*process), Some(cause.clone())),
        };
        self.causes.insert(path.clone(), cause);
        if from != 0 {
            self.both_ends.push(path.clone());
        }
        let place = self.connection(from, to, at_ns);
        let (conn, number) = (self.pool[place].conn, self.pool[place].number);
        let worker = |dice: &mut Dice| polling(tgid(to), tgid(to) * 1000 + dice.roll(4) as u32);
        let is_by_thread = self.kinds[to];
        let server = |dice: &mut Dice| match is_by_thread {
            true => waiting(tgid(to), tgid(to) * 1000 + number),
            false => worker(dice),
        };
        let client = |dice: &mut Dice| match &caller {
            Caller::Nobody(thread) | Caller::Thread(thread, _) => *thread,
            Caller::Any(process, _) => polling(tgid(*process), tgid(*process) * 1000 + dice.roll(4) as u32),
        };
        if matches!(caller, Caller::Thread(..)) {
            self.by_thread.push(path.clone());
        }

        // A send may be reported when what it sent was read already.
        let told_ns = at_ns + if dice.one_in(3) { dice.roll(60 * US) } else { 0 };
        self.sim.ask(conn, client(dice), told_ns, &path);
        let mut now_ns = at_ns + US + dice.roll(20 * US) + if dice.one_in(4) { dice.roll(3 * MS) } else { 0 };
        let reader = server(dice);
        self.sim.receive(conn, super::Side::Server, reader, now_ns, (at_ns + US / 2).min(now_ns));

        now_ns += US;
        let calls = if depth == 0 { 0 } else { dice.roll(4) };
        let at_once = !self.kinds[to] && dice.one_in(2);
        let mut latest_ns = now_ns;
        for _ in 0..calls {
            let caller = match self.kinds[to] {
                true => Caller::Thread(reader, path.clone()),
                false => Caller::Any(to, path.clone()),
            };
            let next = dice.roll(self.kinds.len() as u64) as usize;
            let from_ns = if at_once { now_ns + dice.roll(50 * US) } else { latest_ns + dice.roll(50 * US) };
            latest_ns = self.exchange(caller, next, from_ns, depth - 1, dice).max(latest_ns);
        }
        now_ns = latest_ns + US + dice.roll(2 * MS);

        let answered_ns = now_ns + if dice.one_in(3) { dice.roll(60 * US) } else { 0 };
        self.sim.answer(conn, server(dice), answered_ns);
        let done_ns = (now_ns + US + dice.roll(20 * US)).max(told_ns + US);
        self.sim.done(conn, client(dice), done_ns);
        self.pool[place].free_ns = done_ns.max(answered_ns) + US;
        done_ns
    }

    /// A connection that is not in use at this time.
    fn connection(&mut self, from: u32, to: usize, at_ns: u64) -> usize {
        let free = |it: &Pooled| it.from == from && it.to == to && it.free_ns <= at_ns;
        let place = self.pool.iter().position(free).unwrap_or_else(|| {
            let conn = self.sim.connect();
            let number = self.pool.len() as u32;
            self.pool.push(Pooled { from, to, conn, number, free_ns: 0 });
            self.pool.len() - 1
        });
        self.pool[place].free_ns = u64::MAX;
        place
    }

    /// Asserts that every link made by this evidence is right.
    #[track_caller]
    pub fn check_links(&self, run: &Run, by: &str) {
        for (named, (parent, source)) in run.links() {
            if source != by {
                continue;
            }
            let (kind, path) = named.split_once(' ').expect("kind and path");
            let right = match kind {
                "server" => Some(format!("client {path}")),
                _ => self.causes[path].as_ref().map(|cause| format!("server {cause}")),
            };
            assert_eq!(parent, right, "{named} by {source}");
        }
    }
}

fn tgid(process: usize) -> u32 {
    process as u32 + 1
}

/// Delays every event by less than the grace; those of one end keep their order.
pub fn shuffle(events: &[Event], seed: u64) -> Vec<Event> {
    let mut dice = Dice::new(seed);
    let mut latest: HashMap<u64, u64> = HashMap::new();
    let mut events = events.to_vec();
    events.sort_by_key(|event| event.deliver_ns);
    for event in &mut events {
        let delivered = latest.entry(event.cookie()).or_default();
        *delivered = (event.deliver_ns + dice.roll(19 * MS)).max(*delivered + 1);
        event.deliver_ns = *delivered;
    }
    events
}
