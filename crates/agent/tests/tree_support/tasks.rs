//! Calls of processes whose runtime runs many tasks on few threads.

use proptest::prelude::*;

use super::{MS, Sim, Thread, UNTRACED, US, run::run};

/// A worker thread of the service.
const WORKER: Thread = Thread { tgid: 1, tid: 1, blocking: false, task: 0 };
/// Task of a pooled connection.
const POOLED: u64 = 100;

/// A request that a task reads and answers, from a caller that is not traced.
fn serve(sim: &mut Sim, path: &str, task: u64, from_ns: u64, until_ns: u64) {
    let (conn, server) = (sim.connect(), WORKER.running(task));
    sim.ask(conn, UNTRACED, from_ns, path);
    sim.take(conn, server, from_ns);
    sim.answer(conn, server, until_ns);
}

/// A call that one task sends and receives itself.
fn call(sim: &mut Sim, path: &str, task: u64, from_ns: u64, until_ns: u64) {
    sim.call(path, WORKER.running(task), UNTRACED, from_ns, until_ns);
}

/// A call through a connection's task, which is woken before and wakes after.
fn call_through(sim: &mut Sim, path: &str, caller: u64, connection: u64, from_ns: u64, until_ns: u64) {
    sim.wake(WORKER.running(caller), connection, from_ns - 5 * US);
    call(sim, path, connection, from_ns, until_ns);
    sim.wake(WORKER.running(connection), caller, until_ns + 5 * US);
}

/// Two requests at a time, served by tasks 1 and 2.
fn two_requests() -> Sim {
    let mut sim = Sim::default();
    serve(&mut sim, "/a", 1, 10 * MS, 90 * MS);
    serve(&mut sim, "/b", 2, 12 * MS, 95 * MS);
    sim
}

#[test]
fn the_task_that_serves_a_request_calls_for_it() {
    let mut sim = two_requests();
    call(&mut sim, "/for-b", 2, 20 * MS, 30 * MS);
    run(&sim.events).assert_link("client /for-b", "server /b", "task");
}

#[test]
fn a_pooled_connection_calls_for_who_woke_it_and_is_woken_by_it() {
    let mut sim = two_requests();
    call_through(&mut sim, "/for-a", 1, POOLED, 20 * MS, 30 * MS);
    call_through(&mut sim, "/for-b", 2, POOLED, 40 * MS, 50 * MS);
    let run = run(&sim.events);
    run.assert_link("client /for-a", "server /a", "task");
    run.assert_link("client /for-b", "server /b", "task");
}

#[test]
fn a_request_may_be_sent_before_the_wake_up_for_it_is() {
    let mut sim = two_requests();
    let (connection, other) = (WORKER.running(POOLED), WORKER.running(2));
    // The body of an earlier response was read to its end for /b.
    sim.wake(other, POOLED, 19 * MS);
    call(&mut sim, "/for-a", POOLED, 20 * MS, 30 * MS);
    sim.wake(WORKER.running(1), POOLED, 20 * MS + 3 * US);
    sim.wake(connection, 1, 30 * MS + US);
    run(&sim.events).assert_link("client /for-a", "server /a", "task");
}

#[test]
fn one_wake_up_alone_proves_nothing() {
    let mut sim = two_requests();
    sim.wake(WORKER.running(1), POOLED, 20 * MS - US);
    call(&mut sim, "/sent", POOLED, 20 * MS, 30 * MS);
    call(&mut sim, "/received", POOLED + 1, 40 * MS, 50 * MS);
    sim.wake(WORKER.running(POOLED + 1), 1, 50 * MS + US);
    let run = run(&sim.events);
    run.assert_root("client /sent");
    run.assert_root("client /received");
}

#[test]
fn what_is_fetched_for_two_belongs_to_neither() {
    let mut sim = two_requests();
    for caller in [1, 2] {
        sim.wake(WORKER.running(caller), POOLED, 19 * MS);
    }
    call(&mut sim, "/both", POOLED, 20 * MS, 30 * MS);
    for caller in [1, 2] {
        sim.wake(WORKER.running(POOLED), caller, 30 * MS + US);
    }
    let run = run(&sim.events);
    run.assert_root("client /both");
}

#[test]
fn a_task_works_for_the_request_of_the_one_that_made_it() {
    let mut sim = two_requests();
    sim.spawn(WORKER.running(1), 10, 15 * MS);
    sim.spawn(WORKER.running(10), 11, 16 * MS);
    call(&mut sim, "/itself", 11, 20 * MS, 30 * MS);
    call_through(&mut sim, "/pooled", 10, POOLED, 40 * MS, 50 * MS);
    let run = run(&sim.events);
    run.assert_link("client /itself", "server /a", "task");
    run.assert_link("client /pooled", "server /a", "task");
}

#[test]
fn a_connection_that_one_request_made_serves_others() {
    let mut sim = two_requests();
    sim.spawn(WORKER.running(1), POOLED, 15 * MS);
    call_through(&mut sim, "/for-a", 1, POOLED, 20 * MS, 30 * MS);
    call_through(&mut sim, "/for-b", 2, POOLED, 40 * MS, 50 * MS);
    let run = run(&sim.events);
    run.assert_link("client /for-a", "server /a", "task");
    run.assert_link("client /for-b", "server /b", "task");
}

#[test]
fn a_worker_that_one_request_made_is_not_taken_to_work_for_it_alone() {
    const WORK: u64 = 50;
    let mut sim = two_requests();
    sim.spawn(WORKER.running(1), WORK, 15 * MS);
    call_through(&mut sim, "/for-a", WORK, POOLED, 20 * MS, 30 * MS);
    sim.wake(WORKER.running(2), WORK, 35 * MS);
    call_through(&mut sim, "/for-b", WORK, POOLED, 40 * MS, 50 * MS);
    let run = run(&sim.events);
    run.assert_link("client /for-a", "server /a", "task");
    run.assert_root("client /for-b");
}

#[test]
fn a_queue_to_one_worker_tells_nothing() {
    const WORK: u64 = 50;
    let mut sim = two_requests();
    sim.wake(WORKER.running(1), WORK, 15 * MS);
    for (path, caller, from_ms) in [("/first", 1, 20), ("/second", 2, 40)] {
        call_through(&mut sim, path, WORK, POOLED, from_ms * MS, (from_ms + 10) * MS);
        sim.wake(WORKER.running(WORK), caller, (from_ms + 11) * MS);
    }
    let run = run(&sim.events);
    run.assert_root("client /first");
    run.assert_root("client /second");
}

#[test]
fn a_request_that_is_over_causes_nothing() {
    let mut sim = Sim::default();
    serve(&mut sim, "/a", 1, 10 * MS, 30 * MS);
    serve(&mut sim, "/b", 2, 12 * MS, 95 * MS);
    sim.spawn(WORKER.running(1), 10, 15 * MS);
    call_through(&mut sim, "/late", 10, POOLED, 40 * MS, 50 * MS);
    call(&mut sim, "/later", 10, 60 * MS, 70 * MS);
    let run = run(&sim.events);
    // /b is the only one open in both cases, and it is known that these are not its calls.
    run.assert_root("client /late");
    run.assert_root("client /later");
}

/// One call of a request, through a pooled connection.
#[derive(Clone, Debug)]
struct Call {
    /// When it begins within its request, and how long it takes, in units of 10 us.
    begins: u64,
    takes: u64,
    /// How far the wake-up for it is off, in us.
    woken_late: i64,
    /// Whether the caller finds the response without being woken.
    is_found: bool,
    /// Whether the caller wakes the connection once more when it has read the body.
    is_drained: bool,
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let call = (5u64..200, 3u64..50, -40i64..15, prop::bool::weighted(0.1), any::<bool>());
    prop::collection::vec(
        call.prop_map(|(begins, takes, woken_late, is_found, is_drained)| Call {
            begins,
            takes,
            woken_late,
            is_found,
            is_drained,
        }),
        1..30,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Requests that overlap at random share connections, each used by one call at a time. No call hangs at another's
    /// request, and all those whose caller waits for the response hang at their own.
    #[test]
    fn calls_through_a_pool_hang_at_their_own_requests(calls in calls()) {
        let mut sim = Sim::default();
        // Connections by when they are free again.
        let mut pool: Vec<u64> = Vec::new();
        let mut order: Vec<(u64, usize)> =
            calls.iter().enumerate().map(|(i, call)| (10 * MS + i as u64 * 300 * US + call.begins * 10 * US, i)).collect();
        order.sort_unstable();
        for (i, call) in calls.iter().enumerate() {
            let from_ns = 10 * MS + i as u64 * 300 * US;
            serve(&mut sim, &format!("/{i}"), 1 + i as u64, from_ns, from_ns + (call.begins + call.takes + 20) * 10 * US);
        }
        for (from_ns, i) in order {
            let call_ = &calls[i];
            let until_ns = from_ns + call_.takes * 10 * US;
            let slot = pool.iter().position(|free_ns| *free_ns <= from_ns).unwrap_or(pool.len());
            let free_ns = until_ns + 40 * US;
            if slot == pool.len() { pool.push(free_ns) } else { pool[slot] = free_ns }
            let (caller, connection) = (1 + i as u64, 1_000 + slot as u64);
            sim.wake(WORKER.running(caller), connection, from_ns.saturating_add_signed(call_.woken_late * 1_000));
            call(&mut sim, &format!("/{i}/call"), connection, from_ns, until_ns);
            if !call_.is_found {
                sim.wake(WORKER.running(connection), caller, until_ns + 2 * US);
            }
            if call_.is_drained {
                sim.wake(WORKER.running(caller), connection, until_ns + 10 * US);
            }
        }
        let run = run(&sim.events);
        for (i, call) in calls.iter().enumerate() {
            let (parent, source) = run.link(&format!("client /{i}/call"));
            if let Some(parent) = parent {
                prop_assert_eq!(parent, format!("server /{}", i));
            } else {
                prop_assert!(call.is_found, "call {} is alone ({})", i, source);
            }
        }
    }
}
