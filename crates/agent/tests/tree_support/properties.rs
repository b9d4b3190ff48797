//! What holds of any traffic.

use proptest::prelude::*;

use super::{
    run::run,
    traffic::{Dice, Traffic, plan, shuffle},
};

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Every link is right, and all that can be told is told.
    #[test]
    fn links_are_right(plan in plan()) {
        let traffic = Traffic::new(&plan);
        let run = run(&traffic.sim.events);
        run.check();
        for source in ["tcp_seq", "thread", "sole"] {
            traffic.check_links(&run, source);
        }
        for path in &traffic.both_ends {
            run.assert_link(&format!("server {path}"), &format!("client {path}"), "tcp_seq");
        }
        for path in &traffic.by_thread {
            let cause = traffic.causes[path].as_ref().unwrap();
            run.assert_link(&format!("client {path}"), &format!("server {cause}"), "thread");
        }
    }

    /// Events that come out of order lead to the same links.
    #[test]
    fn links_do_not_depend_on_the_order_of_events(plan in plan(), seed in any::<u64>()) {
        let traffic = Traffic::new(&plan);
        let in_order = run(&traffic.sim.events);
        let shuffled = run(&shuffle(&traffic.sim.events, seed));
        shuffled.check();
        prop_assert_eq!(in_order.links(), shuffled.links());
        prop_assert_eq!(&in_order.counters.links, &shuffled.counters.links);
    }

    /// Lost events cost links and spans, and make no wrong ones.
    #[test]
    fn losses_make_no_wrong_links(plan in plan(), seed in any::<u64>(), one_in in 2..40u64) {
        let traffic = Traffic::new(&plan);
        let mut dice = Dice::new(seed);
        let mut events = traffic.sim.events.clone();
        events.retain(|_| dice.roll(one_in) != 0);
        let lossy = run(&shuffle(&events, seed));
        lossy.check_after_losses();
        traffic.check_links(&lossy, "tcp_seq");
    }

    /// A thread that waits for one request at a time is not fooled by a loss.
    #[test]
    fn one_loss_makes_no_wrong_thread_link(plan in plan(), lost in any::<prop::sample::Index>()) {
        let traffic = Traffic::new(&plan);
        let mut events = traffic.sim.events.clone();
        events.remove(lost.index(events.len()));
        let lossy = run(&events);
        lossy.check_after_losses();
        traffic.check_links(&lossy, "tcp_seq");
        traffic.check_links(&lossy, "thread");
    }
}
