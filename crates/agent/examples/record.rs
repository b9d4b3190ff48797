//! Records what the tap reports, for the replay tests: `record FILE SECONDS PORT...`, as root.
//!
//! The file holds payloads as the processes sent them: record only traffic made for the purpose. Format: the eight
//! bytes `EBPFREC1`, then each record of the ring buffer behind its length (four bytes, little endian). Process events
//! are left out; they speak of every process on the machine.

use std::{
    env,
    fs::File,
    io::{BufWriter, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use otel_ebpf_agent::{
    config::TapChoice,
    probes::{self, KernelMaps, TapSettings, reader},
};
use otel_ebpf_events::user::{Event, decode};

struct Recorder {
    file: BufWriter<File>,
    records: u64,
    failure: Option<std::io::Error>,
}

impl reader::Handler for Recorder {
    fn record(&mut self, record: &[u8]) {
        let len = match decode(record) {
            Ok(Event::Data { head, tail, .. }) => {
                size_of::<otel_ebpf_events::DataEvent>() + head.len() + tail.len()
            }
            Ok(Event::Socket(_)) => size_of::<otel_ebpf_events::SocketEvent>(),
            Ok(Event::Task(_)) => size_of::<otel_ebpf_events::TaskEvent>(),
            Ok(Event::Process(_)) | Err(_) => return,
        };
        let written = self
            .file
            .write_all(&(len as u32).to_le_bytes())
            .and_then(|()| self.file.write_all(&record[..len]));
        match written {
            Ok(()) => self.records += 1,
            Err(error) => self.failure = Some(error),
        }
    }

    fn tick(&mut self) {}
}

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [path, seconds, ports @ ..] = arguments.as_slice() else {
        bail!("usage: record FILE SECONDS PORT...")
    };
    let seconds: u64 = seconds.parse().context("SECONDS")?;

    let mut loader =
        probes::load(TapSettings { choice: TapChoice::Auto, head_max: 4096, ring_bytes: 8 << 20 })?;
    let (mut maps, mut events) = KernelMaps::take(loader.ebpf())?;
    for port in ports {
        maps.rule_ports.insert(port.parse::<u16>().context("PORT")?, 1, 0)?;
    }
    let _tap = loader.attach()?;
    println!("recording what listens on {} from now on, for {seconds} s", ports.join(", "));

    let stop = Arc::new(AtomicBool::new(false));
    thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            thread::sleep(Duration::from_secs(seconds));
            stop.store(true, Ordering::Release);
        }
    });
    let mut file = BufWriter::new(File::create(path).with_context(|| format!("create {path}"))?);
    file.write_all(b"EBPFREC1")?;
    let mut recorder = Recorder { file, records: 0, failure: None };
    reader::run(&mut events, &mut maps.wake, &mut recorder, &stop)?;
    if let Some(failure) = recorder.failure {
        return Err(failure).with_context(|| format!("write {path}"));
    }
    recorder.file.flush()?;
    println!("{} records, lost: {:?}", recorder.records, maps.drops.read()?);
    Ok(())
}
