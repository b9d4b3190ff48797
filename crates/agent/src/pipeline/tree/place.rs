//! Where an exchange hangs, and when it can be told.

use opentelemetry::{SpanId, trace::SpanContext};
use otel_ebpf_protocols::http1::Role;

use super::{
    GRACE_NS, Placed, Tree,
    callers::Verdict,
    node::{Node, NodeId, Opening, Parent, Source, Trace},
    tasks::Evidence,
    waiting::Answer,
};

impl Tree {
    /// Gives a call the request that its task serves; else notes who woke that task.
    pub(super) fn ask_task(&mut self, call: NodeId) {
        let Some(node) = self.nodes.get(&call) else { return };
        let Opening { tgid, tasks: [task, _], .. } = node.opening;
        let start_ns = node.window().0;
        let Some(process) = self.processes.get(&tgid).filter(|_| task != 0) else { return };
        if let Some(server) = process.tasks.serving(task, start_ns) {
            self.link_call(call, Some((server, Source::Task)));
            return;
        }
        let woken_for = process.tasks.woken_for(task, start_ns);
        if let Some(node) = self.nodes.get_mut(&call) {
            node.evidence.get_or_insert_default().woken_for = woken_for;
        }
    }

    /// Notes whom the task woke that received a call's response.
    pub(super) fn ask_woken(&mut self, answer: Answer) {
        let Answer { at_ns, call, task, cookie, .. } = answer;
        let Some(node) = self.nodes.get(&call).filter(|node| node.parent == Parent::Undecided) else {
            return;
        };
        let Some(process) = self.processes.get(&node.opening.tgid) else { return };
        let woke = process.tasks.woke_for(task, cookie, at_ns);
        let took = process.tasks.took_from(task, at_ns);
        let Some(node) = self.nodes.get_mut(&call) else { return };
        let evidence = node.evidence.get_or_insert_default();
        evidence.answered_ns = Some(evidence.answered_ns.map_or(at_ns, |first_ns| first_ns.min(at_ns)));
        add(&mut evidence.woke, woke);
        add(&mut evidence.took, took);
    }

    /// Whether a request was open at this time, as far as is known: one that is over causes nothing.
    fn is_open(&self, server: NodeId, at_ns: u64) -> bool {
        self.nodes.get(&server).is_some_and(|server| {
            let (start_ns, end_ns) = server.window();
            start_ns <= at_ns && at_ns <= end_ns
        })
    }

    /// The one request whose `traceparent` a call carries as it came, as a proxy's does.
    fn passes_on(&self, call: NodeId) -> Option<NodeId> {
        let node = self.nodes.get(&call)?;
        let carried = node.opening.header.as_ref().filter(|_| node.parent == Parent::Undecided)?;
        let start_ns = node.window().0;
        let open = self.processes.get(&node.opening.tgid)?.open_at(start_ns);
        let mut from = open.filter(|server| {
            let server = self.nodes.get(server).and_then(|server| server.opening.header.as_ref());
            server.is_some_and(|header| {
                header.trace_id() == carried.trace_id() && header.span_id() == carried.span_id()
            })
        });
        match (from.next(), from.next()) {
            (Some(one), None) => Some(one),
            _ => None,
        }
    }

    /// Whether the tasks that took part in a call worked for another request.
    fn tasks_speak_against(&self, call: NodeId, server: NodeId) -> bool {
        let Some(node) = self.nodes.get(&call) else { return false };
        let [task, _] = node.opening.tasks;
        let process = self.processes.get(&node.opening.tgid);
        let made_for = process.and_then(|process| process.tasks.made_for(task, u64::MAX));
        let is_about_another = |evidence: &Evidence| evidence.is_about_another(server);
        made_for.is_some_and(|other| other != server)
            || node.evidence.as_deref().is_some_and(is_about_another)
    }

    /// What the tasks tell about the cause of a call.
    fn caused_by_task(&self, call: NodeId) -> Verdict {
        let Some(node) = self.nodes.get(&call) else { return Verdict::None };
        let (Some(evidence), Some(process)) = (&node.evidence, self.processes.get(&node.opening.tgid)) else {
            return Verdict::None;
        };
        let start_ns = node.window().0;
        let [task, _] = node.opening.tasks;
        let made_for =
            process.tasks.made_for(task, start_ns).filter(|server| self.is_open(*server, start_ns));
        match evidence.cause(made_for, |server| self.is_open(server, start_ns)) {
            Ok(Some(server)) => Verdict::Sole(server),
            Ok(None) => Verdict::None,
            Err(()) => Verdict::Ambiguous,
        }
    }

    /// Gives a call the request for which its thread was waiting before, and which it was serving alone.
    pub(super) fn ask_thread(&mut self, call: NodeId) {
        let Some(node) = self.nodes.get(&call).filter(|node| node.parent == Parent::Undecided) else {
            return;
        };
        let Opening { tgid, tid, .. } = node.opening;
        let start_ns = node.window().0;
        let Some(process) = self.processes.get(&tgid) else { return };
        if let Some(server) = process.served_by(tid, start_ns).filter(|id| self.nodes.contains_key(id)) {
            self.link_call(call, Some((server, Source::Thread)));
        }
    }

    /// Gives a call its parent: the request that caused it in the process, or what its own header says.
    fn link_call(&mut self, call: NodeId, cause: Option<(NodeId, Source)>) {
        let cause = cause.filter(|(server, _)| self.nodes.contains_key(server));
        let Some(node) = self.nodes.get(&call) else { return };
        let carried = node.opening.header.as_ref().map(SpanContext::span_id);
        let received = cause
            .and_then(|(server, _)| self.nodes[&server].opening.header.as_ref())
            .map(SpanContext::span_id);
        match cause {
            // A header that was passed on as it came says nothing about this call; any other was made for it.
            Some((server, source)) if carried.is_none() || carried == received => {
                self.link(call, server, source);
            }
            _ => self.take_header(call),
        }
    }

    fn take_header(&mut self, id: NodeId) {
        if let Some(node) = self.nodes.get_mut(&id)
            && node.parent == Parent::Undecided
        {
            node.parent = if node.opening.header.is_some() { Parent::Header } else { Parent::Root };
        }
    }

    /// Decides the parent of an exchange that is over, or has been waited for long enough.
    pub(super) fn decide(&mut self, id: NodeId, known_ns: u64) {
        let Some(node) = self.nodes.get(&id).filter(|node| node.parent == Parent::Undecided) else { return };
        let Opening { role, tgid, tid, .. } = node.opening;
        // The report of the send may be late; the server had the request then.
        let start_ns = node.window().0;
        if role == Role::Client {
            // One that still goes on has been waited for long enough.
            let end_ns = node.end_ns.unwrap_or(known_ns);
            self.counts.expired += u64::from(node.end_ns.is_none());
            if let Verdict::Sole(server) = self.caused_by_task(id) {
                self.link_call(id, Some((server, Source::Task)));
            }
            if let Some(server) = self.passes_on(id) {
                self.link_call(id, Some((server, Source::Header)));
            }
            let verdict = self
                .processes
                .get(&tgid)
                .map_or(Verdict::None, |process| process.cause(tid, start_ns, end_ns));
            if let Verdict::Sole(server) = verdict
                && !self.tasks_speak_against(id, server)
            {
                self.link_call(id, Some((server, Source::Sole)));
            }
            // The cause may have gone, or be a child of this very call.
            self.take_header(id);
            if let Some(node) = self.nodes.get_mut(&id) {
                node.is_ambiguous = verdict == Verdict::Ambiguous && node.parent == Parent::Root;
            }
        }
        self.take_header(id);
    }

    /// The trace of an exchange, once it is certain that all above it give spans, or they have been waited for long
    /// enough; else the one to wait for.
    fn trace(&mut self, id: NodeId, known_ns: u64) -> Result<Option<Trace>, NodeId> {
        let mut chain = Vec::new();
        let mut at = id;
        let found = loop {
            let Some(node) = self.nodes.get(&at) else { return Ok(None) };
            if let Some(trace) = &node.trace {
                break trace.clone();
            }
            let is_over = node.settled_ns().is_some_and(|settled_ns| settled_ns <= known_ns);
            if !is_over && node.held_until_ns() > known_ns {
                return Err(at);
            }
            self.decide(at, known_ns);
            if self.has_lost_parent(at) {
                // The caller gave no span in the end.
                self.nodes.entry(at).and_modify(|node| node.parent = Parent::Undecided);
                self.take_header(at);
            }
            let Some(node) = self.nodes.get(&at) else { return Ok(None) };
            chain.push(at);
            match (node.parent, &node.opening.header) {
                (Parent::Node(parent, _), _) => at = parent,
                (Parent::Header, Some(header)) => break Trace::carried(header),
                _ => break Trace::begun(self.ids.trace(node.opening.key), node.opening.tgid),
            }
        };
        for id in chain {
            if let Some(node) = self.nodes.get_mut(&id) {
                node.trace = Some(found.clone());
            }
        }
        Ok(Some(found))
    }

    fn has_lost_parent(&self, id: NodeId) -> bool {
        match self.nodes.get(&id).map(|node| node.parent) {
            Some(Parent::Node(parent, _)) => !self.nodes.contains_key(&parent),
            _ => false,
        }
    }

    /// Tells the spans of an exchange that is over, or lets it wait for one above it.
    pub(super) fn place(&mut self, id: NodeId, known_ns: u64, placed: &mut Vec<Placed>) {
        let trace = match self.trace(id, known_ns) {
            Ok(Some(trace)) => trace,
            Ok(None) => return,
            Err(awaited) => {
                let until_ns = self.nodes.get(&awaited).map_or(known_ns, Node::held_until_ns);
                self.waiting.add(id, awaited, until_ns);
                return;
            }
        };
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let Some(mut spans) = node.spans.take() else { return };
        spans.main.start_ns = spans.main.start_ns.min(node.began_by_ns);
        let is_ambiguous = node.is_ambiguous;
        let (parent_span_id, source) = match node.parent {
            Parent::Node(parent, source) => match self.nodes.get(&parent) {
                Some(parent) => {
                    if source == Source::TcpSeq {
                        spans.clamp(parent.window(), GRACE_NS);
                    }
                    (parent.span_id, Some(source))
                }
                None => (SpanId::INVALID, None),
            },
            Parent::Header => {
                let parent = node.opening.header.as_ref().map_or(SpanId::INVALID, SpanContext::span_id);
                (parent, Some(Source::Header))
            }
            Parent::Root | Parent::Undecided => (SpanId::INVALID, None),
        };
        match source {
            Some(source) => *self.counts.linked.entry(source.as_str()).or_default() += 1,
            None => {
                self.counts.roots += 1;
                self.counts.ambiguous += u64::from(is_ambiguous);
            }
        }
        let Some(node) = self.nodes.get_mut(&id) else { return };
        // What comes later is held to what was told.
        node.opening.start_ns = spans.main.start_ns;
        let is_remote = node.parent == Parent::Header;
        let (tgid, span_id, link_id) = (node.opening.tgid, node.span_id, node.link_id());
        node.is_told = true;
        placed.push(Placed {
            tgid,
            spans: *spans,
            trace,
            span_id,
            parent_span_id,
            is_remote,
            source,
            link_id,
        });
        self.release(id);
    }
}

/// Adds what is not there yet.
fn add(known: &mut Vec<NodeId>, more: Vec<NodeId>) {
    for id in more {
        if !known.contains(&id) {
            known.push(id);
        }
    }
}
