//! Go: goroutines.
//!
//! A thread's variable points to the `g` of the goroutine that it runs, which holds the goroutine's number and its
//! maker's. Everything is read from the code that uses it, in functions that the runtime's own function table names: that
//! table is in every Go program, stripped or not. For the versions that were compared with their toolchain the code must
//! agree with the table below; newer ones are taken where the code has the known form, and refused where it has not.
//!
//! `runtime.goready` is where one goroutine lets another run: send, receive, select and close of channels, and by way of
//! `readyWithTime` all that sleeps on a semaphore (mutexes, wait groups, conditions). The compiler inlines it; what stays
//! is the function literal in it, which `systemstack` calls on the thread's own stack. At the places given here `rax` holds
//! the `g` that does it, and the second word of what `rdx` points to is the `g` made ready; `r14` holds the thread's own `g`,
//! whose number is 0. A goroutine that a request's goroutine makes works for that request: it is seen where
//! `runtime.newproc` queues it.

mod build_info;
mod code;
mod functions;

use iced_x86::Register;
use otel_ebpf_events::{TaskLayout, task::runtime};

use self::{
    build_info::Version,
    code::GOffsets,
    functions::{Functions, Moved},
};
use super::{Found, Hook, Runtime, Site, Tasks, elf::Executable, site};

/// The first minor version of Go 1 that notes who made a goroutine.
const FIRST: u32 = 21;

/// Offsets in `runtime.g` by minor version of Go 1, from the first on (src/runtime/runtime2.go; compared with programs made
/// by the newest release of each).
const KNOWN: [GOffsets; 7] = [
    GOffsets { goid: 0x98, parent_goid: 0x110 },
    GOffsets { goid: 0x98, parent_goid: 0x110 },
    GOffsets { goid: 0xa0, parent_goid: 0x118 },
    GOffsets { goid: 0xa0, parent_goid: 0x118 },
    GOffsets { goid: 0x98, parent_goid: 0x110 },
    GOffsets { goid: 0x98, parent_goid: 0x118 },
    GOffsets { goid: 0x98, parent_goid: 0x118 },
];

/// Looks for Go's runtime.
pub fn examine(file: &Executable<'_>) -> Runtime {
    let Some(info) = build_info::find(file) else { return Runtime::None };
    let name = match &info {
        Some(version) => format!("Go {}", version.text),
        None => "Go".to_owned(),
    };
    match tasks(file, info.as_ref()) {
        Ok((layout, sites)) => {
            let follows = sites.iter().any(|(hook, _)| *hook == Hook::GoSpawn);
            let lacks = (!follows).then_some("code of the known form where goroutines are made");
            Runtime::Tasks(Tasks { name, layout, sites, found: Found::Symbols, lacks })
        }
        Err(lacks) => Runtime::Opaque { name, lacks: lacks.to_owned() },
    }
}

type LayoutAndSites = (TaskLayout, Vec<(Hook, Site)>);

/// Where things are, or what could not be found.
fn tasks(file: &Executable<'_>, version: Option<&Version>) -> Result<LayoutAndSites, &'static str> {
    let version = version.ok_or("a version that can be read: it was built by Go 1.17 or older")?;
    let minor = version.minor.ok_or("a version that is known")?;
    let known =
        minor.checked_sub(FIRST).ok_or("the maker's number in goroutines, which came with Go 1.21")?;
    let functions = Functions::of(file).ok_or("a function table of the known form")?;

    let places = functions.texts(file).find_map(|text| Places::at(file, &functions, text));
    let places = places.ok_or("code of the known form where goroutines are switched, made or made ready")?;
    let expected = usize::try_from(known).ok().and_then(|known| KNOWN.get(known));
    if expected.is_some_and(|expected| *expected != places.offsets) {
        return Err("the layout of goroutines that this version had when it was released");
    }
    let layout = TaskLayout {
        runtime: runtime::GO,
        current: places.current,
        goid: places.offsets.goid,
        parent_goid: places.offsets.parent_goid,
        ..TaskLayout::default()
    };
    let ready = places.sites.into_iter().map(|site| (Hook::GoReady, site));
    let spawn = places.spawn.map(|site| (Hook::GoSpawn, site));
    Ok((layout, ready.chain(spawn).chain(places.connections).collect()))
}

/// What the code tells.
struct Places {
    /// Where a thread keeps the pointer to its `g`, from the `fs` base.
    current: i32,
    offsets: GOffsets,
    /// In order, without repetition.
    sites: Vec<Site>,
    /// Where goroutines are made; `None` where the code has another form.
    spawn: Option<Site>,
    /// Where connections of `net/http` are used; none in a program without it.
    connections: Vec<(Hook, Site)>,
}

impl Places {
    /// Reads the code, supposing that the functions start at this address; `None` where any of it is not what it should be,
    /// as when they do not.
    fn at(file: &Executable<'_>, functions: &Functions<'_>, text: u64) -> Option<Self> {
        let code = |moved: &Moved| Some((text.checked_add(moved.start)?, moved.end - moved.start));
        let only = |name: &str| {
            let mut found = functions.named(|other| other == name);
            let first = found.next()?;
            found.next().is_none().then_some(first)
        };
        let read = |moved: &Moved| {
            let (address, length) = code(moved)?;
            file.is_code(address).then(|| Some((address, file.bytes(address, length)?)))?
        };
        let (switch, switch_code) = read(&only("runtime.systemstack")?)?;
        let current = code::current_g(switch, switch_code)?;
        let (maker, maker_code) = read(&only("runtime.newproc1")?)?;
        let offsets = code::g_offsets(maker, maker_code)?;
        let (ready, _) = code(&only("runtime.ready")?)?;

        // Before Go 1.27 there is one for each function that goready was inlined into, and each must be as expected.
        let mut sites = Vec::new();
        for literal in functions.named(is_goready) {
            let (address, bytes) = read(&literal)?;
            let site = code::ready_site(address, bytes, ready)?;
            sites.push(Site { file_offset: file.file_offset(site)?, is_cheap: true });
        }
        sites.sort_unstable();
        sites.dedup();
        let spawn = || {
            let (address, bytes) = read(&only("runtime.newproc.func1")?)?;
            let (queue, _) = code(&only("runtime.runqput")?)?;
            let site = code::spawn_site(address, bytes, maker, queue)?;
            Some(Site { file_offset: file.file_offset(site)?, is_cheap: true })
        };
        let spawn = spawn();
        let connections = [
            (Hook::GoAsk, "net/http.(*persistConn).roundTrip"),
            (Hook::GoSendFor, "net/http.(*persistConn).writeLoop"),
        ];
        let connection = |(hook, name)| {
            let (address, length) = code(&only(name)?)?;
            let site =
                site::choose(file, address..address.checked_add(length)?, &[Register::RAX, Register::R14])?;
            site.is_cheap.then_some((hook, site))
        };
        let connections: Option<Vec<_>> = connections.into_iter().map(connection).collect();
        let connections = connections.unwrap_or_default();
        (!sites.is_empty()).then_some(Self { current, offsets, sites, spawn, connections })
    }
}

/// Whether a name is that of the function literal in `runtime.goready`: `runtime.send.goready.func1` where that was inlined
/// into `send`, `_.goready.func1` since Go 1.27, `runtime.goready.func1` where it was not inlined.
fn is_goready(name: &str) -> bool {
    let Some(rest) = name.strip_suffix("goready.func1") else { return false };
    rest == "_." || rest == "runtime." || (rest.starts_with("runtime.") && rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::is_goready;

    #[test]
    fn names_of_the_literal_in_goready() {
        for name in [
            "_.goready.func1",
            "runtime.goready.func1",
            "runtime.send.goready.func1",
            "runtime.(*synctestBubble).decActive.goready.func1",
        ] {
            assert!(is_goready(name), "{name}");
        }
        for name in
            ["runtime.netpollgoready", "runtime.netpollgoready.func1", "main.goready.func1", "goready.func1"]
        {
            assert!(!is_goready(name), "{name}");
        }
    }
}
