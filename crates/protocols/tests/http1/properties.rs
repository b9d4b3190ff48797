//! Properties over generated conversations.

use std::collections::VecDeque;

use otel_ebpf_protocols::http1::{CloseKind, Connection, Direction, ExchangeEnd, Limits, Op, Outcome, Role};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::tape::direction;

/// Body of a message, by the way its end is marked.
#[derive(Clone, Debug)]
enum Body {
    None,
    Length(Vec<u8>),
    Chunks(Vec<Vec<u8>>),
}

#[derive(Clone, Debug)]
struct Pair {
    is_head: bool,
    request: Body,
    interim: Vec<u16>,
    status: u16,
    response: Body,
    /// Sent before the response to the request ahead of it.
    pipelined: bool,
}

/// A message's bytes; whether each belongs to a body of known length.
#[derive(Clone, Debug, Default)]
struct Message {
    bytes: Vec<u8>,
    body_from: Option<usize>,
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 1..60),
        Just(b"GET /fake HTTP/1.1\r\n\r\n".to_vec()),
        Just(b"HTTP/1.1 404 Fake\r\nContent-Length: 0\r\n\r\n".to_vec()),
        Just(b"\r\n0\r\n\r\n".to_vec()),
        (60_usize..600).prop_map(|length| vec![b'x'; length]),
    ]
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        Just(Body::None),
        content().prop_map(Body::Length),
        vec(content(), 0..4).prop_map(Body::Chunks),
    ]
}

fn pair(body: impl Strategy<Value = Body> + Clone) -> impl Strategy<Value = Pair> {
    let interim = prop_oneof![4 => Just(vec![]), 1 => vec(prop_oneof![Just(100_u16), Just(103)], 1..3)];
    let status = prop_oneof![5 => 200_u16..204, 1 => Just(204), 1 => Just(304), 1 => 400_u16..600];
    let flags = (prop::bool::weighted(0.2), prop::bool::weighted(0.3));
    (flags, body.clone(), interim, status, body).prop_map(
        |((is_head, pipelined), request, interim, status, response)| Pair {
            is_head,
            request,
            interim,
            status,
            response,
            pipelined,
        },
    )
}

fn pairs() -> impl Strategy<Value = Vec<Pair>> {
    vec(pair(body().boxed()), 1..8)
}

fn counted_pairs() -> impl Strategy<Value = Vec<Pair>> {
    let counted = prop_oneof![Just(Body::None), content().prop_map(Body::Length)];
    vec(pair(counted.boxed()), 1..6)
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Server), Just(Role::Client)]
}

fn write_body(message: &mut Message, body: &Body, without_bytes: bool) {
    let head = &mut message.bytes;
    match body {
        Body::None => head.extend_from_slice(b"content-length: 0\r\n\r\n"),
        Body::Length(content) => {
            head.extend_from_slice(format!("Content-Length: {}\r\n\r\n", content.len()).as_bytes());
            if !without_bytes {
                message.body_from = Some(head.len());
                head.extend_from_slice(content);
            }
        }
        Body::Chunks(chunks) => {
            head.extend_from_slice(b"TRANSFER-ENCODING: chunked\r\n\r\n");
            if without_bytes {
                return;
            }
            for chunk in chunks {
                head.extend_from_slice(format!("{:X};e=1\r\n", chunk.len()).as_bytes());
                head.extend_from_slice(chunk);
                head.extend_from_slice(b"\r\n");
            }
            head.extend_from_slice(b"0\r\nTrailer: t\r\n\r\n");
        }
    }
}

fn length(body: &Body) -> u64 {
    match body {
        Body::None => 0,
        Body::Length(content) => content.len() as u64,
        Body::Chunks(chunks) => chunks.iter().map(|chunk| chunk.len() as u64).sum(),
    }
}

impl Pair {
    fn request(&self, id: usize) -> Message {
        let method = if self.is_head { "HEAD" } else { "POST" };
        let mut message = Message {
            bytes: format!("{method} /{id} HTTP/1.1\r\nHost: h\r\n").into_bytes(),
            body_from: None,
        };
        write_body(&mut message, &self.request, false);
        message
    }

    fn response(&self, id: usize) -> Message {
        let mut message = Message::default();
        for status in &self.interim {
            message.bytes.extend_from_slice(format!("HTTP/1.1 {status} I\r\n\r\n").as_bytes());
        }
        let head = format!("HTTP/1.1 {} X\r\nContent-Type: t/{id}\r\n", self.status);
        message.bytes.extend_from_slice(head.as_bytes());
        write_body(&mut message, &self.response, self.has_no_response_body());
        message
    }

    fn has_no_response_body(&self) -> bool {
        self.is_head || matches!(self.status, 204 | 304)
    }

    fn told(&self, id: usize) -> Told {
        let response = if self.has_no_response_body() { 0 } else { length(&self.response) };
        Told {
            target: format!("/{id}"),
            status: self.status,
            request: Some(length(&self.request)),
            response: Some(response),
            interim: self.interim.clone(),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Told {
    target: String,
    status: u16,
    request: Option<u64>,
    response: Option<u64>,
    interim: Vec<u16>,
}

fn told(out: &[Outcome<()>]) -> Vec<Told> {
    let ends = out.iter().filter(|outcome| !matches!(outcome, Outcome::Opened(_)));
    let exchanges = ends.map(|outcome| match outcome {
        Outcome::Exchange(exchange) => exchange,
        other => panic!("no exchange: {other:?}"),
    });
    exchanges
        .map(|exchange| {
            assert_eq!(exchange.outcome, ExchangeEnd::Complete);
            Told {
                target: exchange.request.target.clone(),
                status: exchange.response.as_ref().map_or(0, |response| response.status),
                request: exchange.request_body_bytes,
                response: exchange.response_body_bytes,
                interim: exchange.interim_statuses.clone(),
            }
        })
        .collect()
}

/// Runs of messages in one direction, as a client that pipelines where it is told to would cause them.
fn turns(pairs: &[Pair]) -> Vec<(bool, Vec<Message>)> {
    let mut turns: Vec<(bool, Vec<Message>)> = Vec::new();
    let mut waiting: VecDeque<(usize, &Pair)> = VecDeque::new();
    for (id, pair) in pairs.iter().enumerate() {
        if !pair.pipelined && !waiting.is_empty() {
            turns.push((false, waiting.drain(..).map(|(id, pair)| pair.response(id)).collect()));
        }
        match turns.last_mut() {
            Some((true, requests)) => requests.push(pair.request(id)),
            _ => turns.push((true, vec![pair.request(id)])),
        }
        waiting.push_back((id, pair));
    }
    turns.push((false, waiting.drain(..).map(|(id, pair)| pair.response(id)).collect()));
    turns
}

/// One operation to play.
#[derive(Clone, Debug)]
struct Play {
    is_request: bool,
    bytes: Vec<u8>,
    /// Which bytes belong to bodies of known length.
    in_body: Vec<bool>,
    /// Whether a message ends in it.
    ends_message: bool,
}

/// Cuts a conversation into operations whose lengths are taken from `cuts` in turn.
fn operations(turns: &[(bool, Vec<Message>)], cuts: &[usize]) -> Vec<Play> {
    let mut cuts = cuts.iter().cycle();
    let mut plays = Vec::new();
    for (is_request, messages) in turns {
        let mut bytes = Vec::new();
        let mut in_body = Vec::new();
        let mut ends = Vec::new();
        for message in messages {
            let from = message.body_from.unwrap_or(message.bytes.len());
            in_body.extend((0..message.bytes.len()).map(|at| at >= from));
            bytes.extend_from_slice(&message.bytes);
            ends.push(bytes.len());
        }
        let mut at = 0;
        while at < bytes.len() {
            let cut = cuts.next().copied().unwrap_or(1);
            let end = (at + cut).min(bytes.len());
            plays.push(Play {
                is_request: *is_request,
                bytes: bytes[at..end].to_vec(),
                in_body: in_body[at..end].to_vec(),
                ends_message: ends.iter().any(|message_end| (at + 1..=end).contains(message_end)),
            });
            at = end;
        }
    }
    plays
}

struct Player {
    connection: Connection<()>,
    out: Vec<Outcome<()>>,
    role: Role,
    seq: [u32; 2],
    at_ns: u64,
}

impl Player {
    fn new(role: Role, seq: u32) -> Self {
        Player {
            connection: Connection::new(Limits::default()),
            out: Vec::new(),
            role,
            seq: [seq, seq.wrapping_mul(31)],
            at_ns: 0,
        }
    }

    /// Plays an operation of which all but `hidden` was captured.
    fn play(&mut self, play: &Play, hidden: std::ops::Range<usize>) {
        let direction = direction(self.role, play.is_request);
        self.at_ns += 1;
        self.connection.feed(
            Op {
                direction,
                at_ns: self.at_ns,
                seq: self.seq[direction as usize],
                total_bytes: play.bytes.len() as u32,
                head: &play.bytes[..hidden.start],
                tail: &play.bytes[hidden.end..],
                meta: (),
            },
            &mut self.out,
        );
        self.skip(play);
    }

    /// Lets an operation's bytes pass unseen.
    fn skip(&mut self, play: &Play) {
        let seq = &mut self.seq[direction(self.role, play.is_request) as usize];
        *seq = seq.wrapping_add(play.bytes.len() as u32);
    }

    /// What became of requests so far.
    fn ends(&self) -> usize {
        self.out.iter().filter(|outcome| !matches!(outcome, Outcome::Opened(_))).count()
    }

    /// Ends the connection; each request that was opened has had exactly one outcome then.
    fn close(&mut self) {
        self.connection.close(self.at_ns + 1, CloseKind::Fin, &mut self.out);
        let mut open = Vec::new();
        for outcome in &self.out {
            let ended = match outcome {
                Outcome::Opened(opened) => {
                    open.push(opened.request_seq);
                    continue;
                }
                Outcome::Exchange(exchange) => Some(exchange.request_seq),
                Outcome::Dropped { request_seq, .. } => *request_seq,
            };
            if let Some(seq) = ended {
                let position = open.iter().position(|open| *open == seq).expect("ended before it was opened");
                open.remove(position);
            }
        }
        assert!(open.is_empty(), "without an outcome: {open:?}");
    }
}

fn expected(pairs: &[Pair]) -> Vec<Told> {
    pairs.iter().enumerate().map(|(id, pair)| pair.told(id)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_cutting_gives_the_same_exchanges(
        pairs in pairs(),
        cuts in vec(prop_oneof![1_usize..4, 1_usize..80, Just(24), Just(10_000)], 1..20),
        role in role(),
        seq in any::<u32>(),
    ) {
        let mut player = Player::new(role, seq);
        for play in operations(&turns(&pairs), &cuts) {
            player.play(&play, play.bytes.len()..play.bytes.len());
        }
        prop_assert_eq!(told(&player.out), expected(&pairs));
        player.close();
        prop_assert_eq!(player.ends(), pairs.len());
    }

    #[test]
    fn hiding_bytes_of_counted_bodies_changes_nothing(
        pairs in counted_pairs(),
        cuts in vec(1_usize..300, 1..20),
        hiding in vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<bool>()), 1..20),
        role in role(),
        seq in any::<u32>(),
    ) {
        let mut player = Player::new(role, seq);
        let plays = operations(&turns(&pairs), &cuts);
        for (play, (from, to, loses)) in plays.iter().zip(hiding.iter().cycle()) {
            let length = play.bytes.len();
            if *loses && !play.ends_message && play.in_body.iter().all(|is_body| *is_body) {
                player.skip(play);
                continue;
            }
            let start = from.index(length + 1);
            let run = play.in_body[start..].iter().take_while(|is_body| **is_body).count();
            player.play(play, start..start + to.index(run + 1));
        }
        prop_assert_eq!(told(&player.out), expected(&pairs));
    }

    #[test]
    fn every_request_seen_has_exactly_one_outcome(
        pairs in pairs(),
        cuts in vec(1_usize..80, 1..20),
        stop in any::<prop::sample::Index>(),
        role in role(),
    ) {
        let mut player = Player::new(role, 7);
        let plays = operations(&turns(&pairs), &cuts);
        let plays = &plays[..stop.index(plays.len() + 1)];
        for play in plays {
            player.play(play, play.bytes.len()..play.bytes.len());
        }
        player.close();
        let mut moved: usize =
            plays.iter().filter(|play| play.is_request).map(|play| play.bytes.len()).sum();
        let mut begun = 0;
        for (id, pair) in pairs.iter().enumerate() {
            let request = pair.request(id).bytes;
            // Until its line is whole, the first might be anything.
            let line = request.iter().position(|byte| *byte == b'\n').unwrap_or(0) + 1;
            begun += usize::from(moved >= if id == 0 { line } else { 1 });
            moved = moved.saturating_sub(request.len());
        }
        prop_assert_eq!(player.ends(), begun);
    }

    /// Whatever operations are lost, no response is given to another's request, and none twice.
    #[test]
    fn losses_never_pair_wrongly(
        pairs in pairs(),
        pipelines in any::<bool>(),
        cuts in vec(prop_oneof![1_usize..80, Just(10_000)], 1..20),
        losses in vec(prop::bool::weighted(0.15), 1..60),
        role in role(),
    ) {
        let mut pairs = pairs;
        for pair in &mut pairs {
            pair.pipelined &= pipelines;
        }
        let mut player = Player::new(role, u32::MAX - 100);
        // What a connection seen from its beginning knows.
        for direction in [Direction::Receive, Direction::Send] {
            let seq = player.seq[direction as usize];
            player.connection.advance_to(direction, seq, &mut player.out);
        }
        let mut steady = pairs.clone();
        if pipelines {
            // A pipelining client that was seen to be one.
            steady.insert(0, Pair { pipelined: false, interim: vec![], ..pairs[0].clone() });
            steady.insert(1, Pair { pipelined: true, interim: vec![], ..pairs[0].clone() });
            steady[2].pipelined = false;
        }
        let turns = turns(&steady);
        let plays = operations(&turns, &cuts);
        let mut unharmed: usize = if pipelines {
            turns[..2].iter().flat_map(|(_, messages)| messages).map(|message| message.bytes.len()).sum()
        } else {
            0
        };
        for (play, lost) in plays.iter().zip(losses.iter().cycle()) {
            if *lost && unharmed == 0 {
                player.skip(play);
            } else {
                player.play(play, play.bytes.len()..play.bytes.len());
            }
            unharmed = unharmed.saturating_sub(play.bytes.len());
        }
        player.close();
        let mut seen = std::collections::HashSet::new();
        for outcome in &player.out {
            let Outcome::Exchange(exchange) = outcome else { continue };
            prop_assert!(seen.insert(exchange.request.target.clone()), "{} twice", exchange.request.target);
            prop_assert!(exchange.request.target != "/fake");
            if let Some(response) = &exchange.response {
                let id = response.content_type.as_deref().unwrap_or_default();
                prop_assert_eq!(id.trim_start_matches("t/"), exchange.request.target.trim_start_matches('/'));
            }
        }
    }

    #[test]
    fn any_operations_are_survived(
        operations in vec(
            (any::<bool>(), prop_oneof![4 => Just(0_u32), 1 => 0_u32..2000, 1 => any::<u32>()],
             vec(fragment(), 0..6), 0_u32..3000, vec(fragment(), 0..2), any::<u8>()),
            0..60,
        ),
        max_head_bytes in prop_oneof![Just(64 * 1024_usize), 1_usize..300],
        max_pipelined in 0_usize..4,
    ) {
        let limits = Limits { max_head_bytes, max_pipelined, ..Limits::default() };
        let mut connection = Connection::new(limits);
        let mut out = Vec::new();
        let mut seq = [u32::MAX - 50, 9];
        for (at, (sends, jump, head, missing, tail, action)) in operations.into_iter().enumerate() {
            let direction = if sends { Direction::Send } else { Direction::Receive };
            let (head, tail) = (head.concat(), tail.concat());
            let total = head.len() as u32 + missing % (1 + u32::from(action)) + tail.len() as u32;
            let from = seq[direction as usize].wrapping_add(jump);
            seq[direction as usize] = from.wrapping_add(total);
            let at_ns = at as u64 * 10;
            match action {
                0..5 => connection.close(at_ns, CloseKind::Reset, &mut out),
                5..15 => connection.expire(at_ns, &mut out),
                15..25 => connection.advance_to(direction, from, &mut out),
                _ => {}
            }
            connection.feed(
                Op { direction, at_ns, seq: from, total_bytes: total, head: &head, tail: &tail, meta: () },
                &mut out,
            );
        }
        connection.close(u64::MAX, CloseKind::Forgotten, &mut out);
        prop_assert!(!connection.has_open_exchange());
    }
}

fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<&'static [u8]> = vec![
        b"GET / HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"CONNECT h:1 HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 100 C\r\n\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: 18446744073709551615\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Expect: 100-continue\r\n",
        b"\r\n",
        b"\n",
        b"ffffffffffffffff\r\n",
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
    ];
    prop_oneof![
        6 => prop::sample::select(known).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..20),
    ]
}
