//! Kernels of Debian, fetched without installing them.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use super::output_of;

/// Versions, and the releases of Debian that have them.
const SUITES: &[(&str, &str)] = &[("6.1", "bookworm"), ("6.12", "trixie")];
const MIRROR_VARIABLE: &str = "DEBIAN_MIRROR";
const MIRROR: &str = "http://deb.debian.org/debian";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// What a guest needs of its kernel beside what every kernel has built in, in the order of loading. The shared
/// directories come first; then what tests let `ip` and `iptables` do, with either kind of packet filter.
const MODULES: &[&str] = &[
    "virtio_pci",
    "9pnet_virtio",
    "9p",
    "veth",
    // libcrc32c finds it by its algorithm, which no dependency tells.
    "crc32c_generic",
    "nf_conntrack",
    "nf_tables",
    "nft_compat",
    "nft_chain_nat",
    "xt_tcpudp",
    "xt_nat",
    "xt_MASQUERADE",
    "iptable_nat",
];

/// Those directories of the package in which the modules lie; the whole of it is eight times as large.
const PARTS: &[&str] = &[
    "./boot/vmlinuz-*",
    "./*lib/modules/*/modules.builtin",
    "./*lib/modules/*/kernel/crypto/*",
    "./*lib/modules/*/kernel/drivers/net/veth.ko*",
    "./*lib/modules/*/kernel/drivers/virtio/*",
    "./*lib/modules/*/kernel/fs/9p/*",
    "./*lib/modules/*/kernel/fs/fscache/*",
    "./*lib/modules/*/kernel/fs/netfs/*",
    "./*lib/modules/*/kernel/lib/*",
    "./*lib/modules/*/kernel/net/*",
];

/// A kernel with what a guest needs of it.
#[derive(Debug)]
pub(super) struct Kernel {
    /// What `uname -r` says.
    pub(super) release: String,
    /// The kernel itself.
    pub(super) image: PathBuf,
    /// Its modules, each after those that it needs.
    pub(super) modules: Vec<PathBuf>,
}

impl Kernel {
    /// Takes the kernel that was fetched before, or fetches it.
    pub(super) fn get(dir: &Path, version: &str) -> Result<Self> {
        let place = dir.join(version);
        if !place.is_dir() {
            println!("==> kernel {version}: fetching Debian's package");
            fetch(dir, version, &place).with_context(|| format!("fetch a kernel {version}"))?;
        }
        let kernel = Self::read(&place);
        kernel.with_context(|| format!("kernel {version}; remove {} to fetch it anew", place.display()))
    }

    fn read(place: &Path) -> Result<Self> {
        let image = only_file(&place.join("boot"), "vmlinuz-")?;
        let release = image.file_name().and_then(|name| name.to_str()?.strip_prefix("vmlinuz-"));
        let release = release.context("the kernel's file names its release")?.to_owned();
        let modules = Modules::read(place, &release)?.in_order(MODULES)?;
        Ok(Self { release, image, modules })
    }
}

/// The one file whose name begins so.
fn only_file(dir: &Path, prefix: &str) -> Result<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            found.push(entry.path());
        }
    }
    match found.len() {
        1 => Ok(found.remove(0)),
        count => bail!("{count} files {prefix}* in {}, where one is meant", dir.display()),
    }
}

/// Unpacks what is needed of the newest package; lists and caches of apt's own are used, so that the machine's apt
/// does not change.
fn fetch(dir: &Path, version: &str, place: &Path) -> Result<()> {
    let Some((_, suite)) = SUITES.iter().find(|(known, _)| *known == version) else {
        let known: Vec<_> = SUITES.iter().map(|(version, _)| *version).collect();
        bail!("no such kernel is known here; there are: {}", known.join(", "));
    };
    if !Path::new(KEYRING).exists() {
        bail!("{KEYRING} is missing (Debian's package debian-archive-keyring)");
    }
    let work = dir.join(format!("{version}.new"));
    if work.exists() {
        fs::remove_dir_all(&work)?;
    }
    for part in ["lists/partial", "cache/archives/partial", "kernel"] {
        fs::create_dir_all(work.join(part))?;
    }
    let mirror = env::var(MIRROR_VARIABLE).unwrap_or_else(|_| MIRROR.to_owned());
    let sources = format!("deb [arch=amd64 signed-by={KEYRING}] {mirror} {suite} main\n");
    fs::write(work.join("sources.list"), sources)?;
    output_of(apt("apt-get", &work).arg("update"))?;

    let pattern = format!("^linux-image-{}[.][^ ]*-amd64$", version.replace('.', "[.]"));
    let names = output_of(apt("apt-cache", &work).args(["search", "--names-only", &pattern]))?;
    let names = String::from_utf8(names).context("names of packages")?;
    let package = newest(&names).with_context(|| format!("Debian {suite} has no kernel {version}"))?;
    output_of(apt("apt-get", &work).args(["download", package]).current_dir(&work))?;
    unpack(&only_file(&work, "linux-image-")?, &work.join("kernel"))?;
    decompress(&work.join("kernel"))?;
    fs::rename(work.join("kernel"), place)?;
    Ok(fs::remove_dir_all(&work)?)
}

/// A program of apt with a state of its own.
fn apt(program: &str, work: &Path) -> Command {
    let mut command = Command::new(program);
    let options = [
        format!("Dir::Etc::SourceList={}", work.join("sources.list").display()),
        "Dir::Etc::SourceParts=/dev/null".to_owned(),
        format!("Dir::State::Lists={}", work.join("lists").display()),
        format!("Dir::Cache={}", work.join("cache").display()),
        "APT::Architecture=amd64".to_owned(),
        "Acquire::Languages=none".to_owned(),
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
    ];
    command.arg("-qq");
    for option in options {
        command.args(["-o", &option]);
    }
    // Otherwise a user of its own fetches, who may not write here.
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten();
    if let Some(user) = user {
        command.args(["-o", &format!("APT::Sandbox::User={}", user.name)]);
    }
    command
}

/// The newest of the packages that `apt-cache search` lists, leaving variants for clouds and real time out.
fn newest(list: &str) -> Option<&str> {
    let names = list.lines().filter_map(|line| line.split(' ').next());
    let plain = names.filter(|name| !name.contains("-cloud-") && !name.contains("-rt-"));
    plain.max_by_key(|name| numbers(name))
}

/// The numbers in a name, by which versions compare.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

fn unpack(package: &Path, into: &Path) -> Result<()> {
    let mut archive = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(package)
        .stdout(Stdio::piped())
        .spawn()
        .context("start dpkg-deb")?;
    let archived = archive.stdout.take().context("dpkg-deb's output")?;
    let status = Command::new("tar")
        .args(["--extract", "--wildcards", "--directory"])
        .arg(into)
        .args(PARTS)
        .stdin(archived)
        // A release of Debian need not have all of these.
        .stderr(Stdio::null())
        .status()
        .context("start tar")?;
    if !archive.wait()?.success() {
        bail!("dpkg-deb cannot read {}", package.display());
    }
    // 2: a pattern was not found; what is really missing is named when the modules are looked for.
    if !matches!(status.code(), Some(0 | 2)) {
        bail!("tar: {status}");
    }
    Ok(())
}

/// Unpacks each module by itself: not every kernel can.
fn decompress(dir: &Path) -> Result<()> {
    let packed: Vec<_> =
        files(dir)?.into_iter().filter(|file| file.extension().is_some_and(|end| end == "xz")).collect();
    for some in packed.chunks(200) {
        output_of(Command::new("xz").arg("--decompress").args(some))?;
    }
    Ok(())
}

/// Every file below a directory.
fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => found.extend(files(&entry.path())?),
            false => found.push(entry.path()),
        }
    }
    Ok(found)
}

/// The modules of a kernel, by name.
struct Modules {
    files: BTreeMap<String, PathBuf>,
    built_in: BTreeSet<String>,
}

impl Modules {
    fn read(place: &Path, release: &str) -> Result<Self> {
        // Debian 13 moved them.
        let dir = ["lib/modules", "usr/lib/modules"].map(|dir| place.join(dir).join(release));
        let dir = dir.into_iter().find(|dir| dir.is_dir()).context("it has no modules")?;
        let built_in = fs::read_to_string(dir.join("modules.builtin")).context("read modules.builtin")?;
        let built_in = built_in.lines().filter_map(|line| module_name(Path::new(line))).collect();
        let files = files(&dir)?;
        let files = files.into_iter().filter_map(|file| Some((module_name(&file)?, file))).collect();
        Ok(Self { files, built_in })
    }

    /// The files of these modules and of all that they need, each after those that it needs.
    fn in_order(&self, names: &[&str]) -> Result<Vec<PathBuf>> {
        let mut seen = BTreeSet::new();
        let mut order = Vec::new();
        for name in names {
            self.add(name, &mut seen, &mut order)?;
        }
        Ok(order)
    }

    fn add(&self, name: &str, seen: &mut BTreeSet<String>, order: &mut Vec<PathBuf>) -> Result<()> {
        if self.built_in.contains(name) || !seen.insert(name.to_owned()) {
            return Ok(());
        }
        let file = self.files.get(name).with_context(|| format!("it has no module {name}"))?;
        let content = fs::read(file).with_context(|| format!("read {}", file.display()))?;
        for needed in depends(&content) {
            self.add(&needed, seen, order)?;
        }
        order.push(file.clone());
        Ok(())
    }
}

/// A module's name, from its file's: `drivers/virtio/virtio_pci.ko`. The two kinds of dashes are the same there.
fn module_name(file: &Path) -> Option<String> {
    Some(file.file_name()?.to_str()?.strip_suffix(".ko")?.replace('-', "_"))
}

/// What a module needs: `depends=a,b` among its `.modinfo`, a section of strings that end with a zero byte.
fn depends(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = module.windows(KEY.len()).position(|window| window == KEY) else {
        return Vec::new();
    };
    let value = module[at + KEY.len()..].split(|byte| *byte == 0).next().unwrap_or_default();
    let value = String::from_utf8_lossy(value);
    value.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_package_is_chosen_by_number() {
        let list = "linux-image-6.12.94+deb13-amd64 - Linux 6.12\n\
                    linux-image-6.12.107+deb13-amd64 - Linux 6.12\n\
                    linux-image-6.12.108+deb13-cloud-amd64 - Linux 6.12\n\
                    linux-image-6.12.109+deb13-rt-amd64 - Linux 6.12\n";
        assert_eq!(newest(list), Some("linux-image-6.12.107+deb13-amd64"));
        assert_eq!(newest(""), None);
    }

    #[test]
    fn needs_are_read_from_a_module() {
        assert_eq!(
            depends(b"junk\0license=GPL\0depends=9pnet,virtio-ring\0retpoline=Y\0"),
            ["9pnet", "virtio_ring"]
        );
        assert!(depends(b"\0depends=\0name=netfs\0").is_empty());
        assert!(depends(b"").is_empty());
    }

    #[test]
    fn modules_come_after_those_that_they_need() -> Result<()> {
        let place = tempfile::tempdir()?;
        let dir = place.path().join("lib/modules/1.2");
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("modules.builtin"), "kernel/lib/base.ko\n")?;
        for (name, content) in
            [("top", b"\0depends=mid-dle,base\0".as_slice()), ("mid-dle", b"\0depends=low\0"), ("low", b"")]
        {
            fs::write(dir.join(format!("{name}.ko")), content)?;
        }
        let modules = Modules::read(place.path(), "1.2")?;
        let order = modules.in_order(&["top", "low", "base"])?;
        let names: Vec<_> = order.iter().filter_map(|file| module_name(file)).collect();
        assert_eq!(names, ["low", "mid_dle", "top"]);
        assert!(modules.in_order(&["missing"]).is_err());
        Ok(())
    }
}
