//! Causes of builds that failed.

use super::{CausePage, app, platform, upstream};
use crate::Cause;

pub(super) fn page(cause: Cause) -> Option<CausePage> {
    not_carried_out(cause).or_else(|| step_failed(cause))
}

#[expect(clippy::too_many_lines, reason = "one flat table")]
fn not_carried_out(cause: Cause) -> Option<CausePage> {
    Some(match cause {
        Cause::SourceNotFetchable => app(
            "The source cannot be fetched",
            "Cloning, fetching or unpacking the source failed: the address is wrong, it asks for credentials, or the host cannot be reached.",
            "The answer of git, of the registry or of the upload.",
            "Try the same clone URL by hand; for a private repository put a token into the URL or use an upload.",
        ),
        Cause::BranchMissing => app(
            "The branch does not exist",
            "The repository was reached, but it has no branch of the name in the spec.",
            "The list of branches that the repository gave.",
            "Correct the branch in the spec, or push the branch.",
        ),
        Cause::SourceDirMissing => app(
            "source_dir does not exist",
            "The component's source_dir is not a directory of the source that was fetched.",
            "The file tree of the commit.",
            "Correct source_dir; it counts from the root of the repository.",
        ),
        Cause::SourceRefused => app(
            "The source holds something that is refused",
            "A path that leads out of the source, a special file, or more or larger files than are allowed.",
            "The check of each entry while the source was unpacked.",
            "Take the named path out of the source, or add it to .gitignore or .dockerignore.",
        ),
        Cause::CloneUrlRefused => app(
            "The clone URL is refused",
            "repo_clone_url is not a URL that this installation clones from: another scheme, or a directory of its own machine that its operator did not allow.",
            "The rule that the URL breaks, before anything was fetched.",
            "Give an https:// or ssh:// URL, or deploy the folder itself with `mainstay deploy`.",
        ),
        Cause::NothingDetected => app(
            "Nothing to build was recognised",
            "No builder found what it looks for in source_dir: no manifest of a known language, no static page, no Procfile, no Dockerfile.",
            "The verdict of every detector, with what each of them looked at.",
            "Point source_dir to the directory with the manifest, or add a Dockerfile and set dockerfile_path.",
        ),
        Cause::DockerfileMissing => app(
            "The Dockerfile does not exist",
            "dockerfile_path names a file that is not in the source.",
            "The file tree of the commit.",
            "Correct dockerfile_path; it counts from the root of the repository.",
        ),
        Cause::DockerfileInvalid => app(
            "The Dockerfile is not valid",
            "The Dockerfile cannot be parsed, or a stage that it names does not exist.",
            "The parser, before anything was built.",
            "Correct the line that the message names.",
        ),
        Cause::DockerfileInstructionFailed => app(
            "A Dockerfile instruction failed",
            "An instruction that runs no process (COPY, ADD, FROM, USER …) could not be carried out.",
            "The builder's error for that instruction.",
            "Correct the instruction that the message names.",
        ),
        Cause::FileNotInBuildContext => app(
            "A file is not in the build context",
            "An instruction or a step needs a file that is not in the source: not committed, or outside source_dir.",
            "The path of the instruction against the file tree of the commit.",
            "Commit the file, or correct the path; it counts from source_dir.",
        ),
        Cause::FileExcludedByIgnoreRule => app(
            "An ignore rule keeps a file out",
            "A file that an instruction needs is in the source, but a rule of .dockerignore excludes it.",
            "The rule that matched the path.",
            "Remove the rule, or add an exception with `!` after it.",
        ),
        Cause::BaseImageNotPullable => upstream(
            "A base image cannot be pulled",
            "The registry could not be reached, or answered with an error of its own.",
            "The registry's answer, after the attempts that the message counts.",
            "Deploy again later; nothing is wrong with the app's code.",
        ),
        Cause::BaseImageNotFound => app(
            "An image does not exist",
            "The registry was reached, but it has no image of that name and tag.",
            "The registry answered 404.",
            "Correct the image's name or tag.",
        ),
        Cause::BaseImageRefused => app(
            "The registry refuses access to an image",
            "The image is private and no credentials were given, or they were not accepted. Some registries answer so for images that do not exist.",
            "The registry answered 401 or 403.",
            "Add registry_credentials to the spec, or make the image public.",
        ),
        Cause::BaseImageRateLimited => upstream(
            "The registry limits the rate of pulls",
            "The registry refuses further pulls from this address for a while.",
            "The registry answered 429, also after the repeated attempts.",
            "Wait, log in to the registry, or use a mirror; nothing is wrong with the app's code.",
        ),
        Cause::ToolchainUnavailable => app(
            "A tool's version cannot be had",
            "The version of a language or tool that the source asks for does not exist in the catalogue.",
            "The version declared against the versions available.",
            "Ask for a version that exists, in the file that the message names.",
        ),
        Cause::OutputDirMissing => app(
            "output_dir does not exist after the build",
            "The build of a static site succeeded, but it wrote to another directory than the spec's output_dir.",
            "The file tree after the last step.",
            "Set output_dir to the directory that the build writes.",
        ),
        Cause::DiskBudget => app(
            "The build used up its disk budget",
            "The build wrote more than it may keep.",
            "The bytes counted in the build's own directory.",
            "Write less: clean caches in the same step, and leave large files out of the image.",
        ),
        Cause::ExportFailed => platform(
            "The image could not be stored",
            "All steps succeeded, but writing the finished image into the image store failed.",
            "The error of the image store.",
            "Deploy again; if it fails again, look at the machine's disk and the platform's log.",
        ),
        Cause::Unsupported => app(
            "Not supported by this version",
            "The spec or the source asks for something that this version of Mainstay cannot build.",
            "The feature, by name.",
            "Do without it, or use a Dockerfile.",
        ),
        Cause::PlatformStepFailed => platform(
            "A step of the platform's own failed",
            "The step that ended non-zero was not the user's but the platform's.",
            "The origin of the step in the build's record.",
            "Deploy again; if it fails again, look at the platform's log.",
        ),
        Cause::BuildKeyUnchanged => app(
            "The inputs of the build are unchanged",
            "Source, builder, stack, build command and build-time variables are the same as for an earlier build.",
            "The build key, a digest of all inputs.",
            "Deploy with force_build if it shall be built all the same.",
        ),
        Cause::BuildQueueFull => platform(
            "All build slots are taken",
            "As many builds as allowed are running.",
            "The build queue.",
            "Wait; the build starts by itself.",
        ),
        _ => return None,
    })
}

#[expect(clippy::too_many_lines, reason = "one flat table")]
fn step_failed(cause: Cause) -> Option<CausePage> {
    Some(match cause {
        Cause::StepFailed => app(
            "The step's command failed",
            "A command of the build ended with another status than 0. Why was not observed: the last lines of the log are the evidence.",
            "The wait status of the step.",
            "Read the step's last lines, and run the same command locally on a fresh checkout.",
        ),
        Cause::LockfileOutOfStep => app(
            "The lock file does not match the manifest",
            "A strict install refuses to run when the lock file and the manifest disagree.",
            "The package manager's own error.",
            "Run the install locally and commit the lock file.",
        ),
        Cause::LockfileMissing => app(
            "The lock file is missing",
            "A strict install needs a lock file, and none is in the source.",
            "The package manager's own error, and the file tree of the commit.",
            "Commit the lock file, and check that .gitignore does not exclude it.",
        ),
        Cause::DevDependencyMissing => app(
            "A development dependency is missing",
            "What the build or the running app calls stands in devDependencies (or a group for development), and those were skipped or pruned.",
            "The missing tool or module, the list in which the manifest declares it, and the step that left it out.",
            "Move it to the dependencies of the manifest, or set NODE_ENV=production for the run alone.",
        ),
        Cause::DependencyConflict => app(
            "Dependencies contradict each other",
            "The package manager found no set of versions that satisfies all requirements.",
            "The package manager's own error.",
            "Loosen or correct the requirements that it names.",
        ),
        Cause::DependencyNotFound => app(
            "A dependency does not exist",
            "The registry has no such package, or not in the version asked for.",
            "The package manager's own error.",
            "Correct the name or version; for a private registry, give the build its address and token.",
        ),
        Cause::DependencyRegistryUnreachable => upstream(
            "The package registry cannot be reached",
            "The package manager got no answer from its registry, or one that was cut or not trusted.",
            "The package manager's own error.",
            "Deploy again; behind a proxy, check the platform's build settings (proxy, CA bundle, package indexes).",
        ),
        Cause::DependencyNotCompilable => app(
            "A dependency has to be compiled and cannot be",
            "There is no prebuilt binary of the package for this version of the language, and a compiler, header or tool for building it is missing.",
            "The package manager's own error.",
            "Use a version with a prebuilt binary, pin the language's version, or build with a Dockerfile that installs the tool.",
        ),
        Cause::RuntimeVersionMismatch => app(
            "The language's version does not fit",
            "The code or a dependency needs another version of the language or tool than the one in use.",
            "The version in use, and the range that was refused.",
            "Pin the version in the file that the builder reads.",
        ),
        Cause::ManifestInvalid => app(
            "A manifest is not valid",
            "package.json, requirements.txt, pyproject.toml, go.mod or another manifest cannot be parsed.",
            "The tool's own error, with file and line.",
            "Correct the line that it names.",
        ),
        Cause::ScriptMissing => app(
            "A script is not defined",
            "The command runs a script of the manifest that is not there.",
            "The package manager's own error.",
            "Add the script to the manifest, or correct the command.",
        ),
        Cause::CompileError => app(
            "The code does not compile",
            "The compiler or type checker stopped at an error. Development servers often skip this check.",
            "The compiler's own error, with file and line.",
            "Correct the first error it names; run the same build command locally to see them all.",
        ),
        Cause::WarningsAsErrors => app(
            "Warnings count as errors",
            "CI=true is set in builds, and the tool then fails on warnings.",
            "The tool's own sentence about it.",
            "Correct the warning, or unset CI for that command (`CI= npm run build`).",
        ),
        Cause::FileNameCase => app(
            "A file name differs by letter case",
            "The code imports a file whose name in the source differs only by letter case. Linux tells those apart.",
            "The path imported against the file tree of the commit.",
            "Rename the file or correct the import; use `git mv` so that git notices.",
        ),
        Cause::MissingBuildEnv => app(
            "A variable is missing during the build",
            "The build reads a variable that is not set for it: its scope is RUN_TIME, or it is not in the spec. Database values exist at run \
             time only.",
            "The name in the tool's error against the names present in the build.",
            "Give the variable the scope RUN_AND_BUILD_TIME, or do not read it during the build.",
        ),
        Cause::DiskFull => app(
            "No space was left on the disk",
            "A write failed because the disk given to it was full.",
            "The kernel's answer to the write (ENOSPC).",
            "Write less, clean up in the same step, or write temporary data elsewhere.",
        ),
        _ => return None,
    })
}
