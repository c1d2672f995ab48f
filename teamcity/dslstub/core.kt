// A stand-in for the part of TeamCity's Kotlin DSL that .teamcity/settings.kts
// uses, to compile and run it without a server. It proves that the settings are
// Kotlin and which project they describe; that TeamCity takes them, it cannot prove.
// Names and types are those of the published DSL documentation.
package jetbrains.buildServer.configs.kotlin

@DslMarker
annotation class TeamCityDsl

var version: String = ""

/** Node keeps what is said of an element, in the order it was said. */
@TeamCityDsl
open class Node {
    val said = linkedMapOf<String, Any?>()

    fun param(name: String, value: String) {
        said[name] = value
    }

    var id: String? by said
    var enabled: Boolean? by said
}

/** Of an element that is one of several kinds, which one. */
open class Kind(kind: String) : Node() {
    init {
        said["kind"] = kind
    }
}

open class BuildFeature(kind: String) : Kind(kind)

open class ProjectFeature(kind: String) : Kind(kind)

open class Trigger(kind: String) : Kind(kind)

open class BuildStep(kind: String) : Kind(kind) {
    enum class ExecutionMode { DEFAULT, RUN_ON_SUCCESS, RUN_ON_FAILURE, RUN_ONLY_ON_FAILURE, ALWAYS }

    var name: String? by said
    var workingDir: String? by said
    var executionMode: ExecutionMode? by said
}

@TeamCityDsl
open class Items<T : Node> {
    val items = mutableListOf<T>()

    fun <S : T> add(item: S, init: S.() -> Unit): S = item.apply(init).also { items += it }
}

class BuildFeatures : Items<BuildFeature>()

class ProjectFeatures : Items<ProjectFeature>()

class Triggers : Items<Trigger>()

class BuildSteps : Items<BuildStep>()

enum class ParameterDisplay { NORMAL, HIDDEN, PROMPT }

@TeamCityDsl
class ParametrizedWithType {
    val values = linkedMapOf<String, Any?>()

    fun param(name: String, value: String) {
        values[name] = value
    }

    fun password(name: String, value: String, label: String = "", description: String = "", display: ParameterDisplay = ParameterDisplay.NORMAL, readOnly: Boolean = false) {
        require(value.startsWith("credentialsJSON:")) { "a secret in the settings: $name" }
        values[name] = value
    }
}

enum class CheckoutMode { AUTO, ON_AGENT, ON_SERVER, MANUAL }

class VcsSettings : Node() {
    var cleanCheckout: Boolean? by said
    var branchFilter: String? by said
    var checkoutMode: CheckoutMode? by said

    fun root(root: VcsRoot, vararg rules: String) {
        said["root"] = root.id.toString()
        if (rules.isNotEmpty()) said["rules"] = rules.toList()
    }
}

class FailureConditions : Node() {
    var executionTimeoutMin: Int? by said
    var nonZeroExitCode: Boolean? by said
    var testFailure: Boolean? by said
}

class Requirements : Node() {
    fun equals(name: String, value: String) {
        said["equals $name"] = value
    }

    fun exists(name: String) {
        said["exists $name"] = true
    }
}

enum class FailureAction { IGNORE, ADD_PROBLEM, FAIL_TO_START, CANCEL }

enum class ReuseBuilds { NO, SUCCESSFUL, ANY }

class SnapshotDependency : Node() {
    var onDependencyFailure: FailureAction? by said
    var onDependencyCancel: FailureAction? by said
    var reuseBuilds: ReuseBuilds? by said
    var synchronizeRevisions: Boolean? by said
}

class Dependencies {
    val on = mutableListOf<Pair<BuildType, SnapshotDependency>>()

    fun snapshot(build: BuildType, init: SnapshotDependency.() -> Unit) {
        on += build to SnapshotDependency().apply(init)
    }
}

enum class PublishMode { NORMALLY_FINISHED, SUCCESSFUL, ALWAYS }

interface Id

class RelativeId(val relative: String) : Id {
    override fun toString() = relative
}

open class VcsRoot(name: String) {
    val id: Id = RelativeId(name)
}

object DslContext {
    val settingsRoot = VcsRoot("SettingsRoot")
    val parameters = linkedMapOf<String, String>()

    fun getParameter(name: String, defaultValue: String): String = defaultValue.also { parameters[name] = it }
}

@TeamCityDsl
open class BuildTypeSettings {
    enum class Type { REGULAR, COMPOSITE, DEPLOYMENT }

    val said = linkedMapOf<String, Any?>()
    val id: Id get() = RelativeId(this::class.simpleName ?: error("a build without an id"))
    var name = ""
    var description: String? by said
    var type: Type? by said
    var enablePersonalBuilds: Boolean? by said
    var maxRunningBuilds: Int? by said
    var artifactRules: String? by said
    var publishArtifacts: PublishMode? by said

    val allParams = ParametrizedWithType()
    val allVcs = VcsSettings()
    val allSteps = BuildSteps()
    val allTriggers = Triggers()
    val allFeatures = BuildFeatures()
    val allConditions = FailureConditions()
    val allRequirements = Requirements()
    val allDependencies = Dependencies()

    fun params(init: ParametrizedWithType.() -> Unit) = allParams.init()
    fun vcs(init: VcsSettings.() -> Unit) = allVcs.init()
    fun steps(init: BuildSteps.() -> Unit) = allSteps.init()
    fun triggers(init: Triggers.() -> Unit) = allTriggers.init()
    fun features(init: BuildFeatures.() -> Unit) = allFeatures.init()
    fun failureConditions(init: FailureConditions.() -> Unit) = allConditions.init()
    fun requirements(init: Requirements.() -> Unit) = allRequirements.init()
    fun dependencies(init: Dependencies.() -> Unit) = allDependencies.init()
}

open class Template(init: Template.() -> Unit) : BuildTypeSettings() {
    init {
        init()
    }
}

open class BuildType(init: BuildType.() -> Unit) : BuildTypeSettings() {
    val from = mutableListOf<Template>()

    fun templates(vararg templates: Template) {
        from += templates
    }

    init {
        init()
    }
}

class Since

class KeepRule : Node() {
    class Least {
        var since: Since? = null

        fun lastBuild() = Since()
    }

    class Data

    var keepAtLeast: Least? = null
    var dataToKeep: Data? = null
    var preserveArtifactsDependencies: Boolean? by said

    fun days(days: Int, init: Least.() -> Unit): Least = Least().apply(init).also { said["days"] = days }
    fun everything() = Data()
}

class Cleanup {
    val rules = mutableListOf<KeepRule>()

    fun keepRule(init: KeepRule.() -> Unit) {
        rules += KeepRule().apply(init)
    }
}

@TeamCityDsl
class Project {
    var description: String = ""
    val templates = mutableListOf<Template>()
    val builds = mutableListOf<BuildType>()
    val allParams = ParametrizedWithType()
    val allFeatures = ProjectFeatures()
    val allCleanup = Cleanup()
    var buildTypesOrder: List<BuildType> = emptyList()

    fun template(template: Template) = template.also { templates += it }
    fun buildType(build: BuildType) = build.also { builds += it }
    fun params(init: ParametrizedWithType.() -> Unit) = allParams.init()
    fun features(init: ProjectFeatures.() -> Unit) = allFeatures.init()
    fun cleanup(init: Cleanup.() -> Unit) = allCleanup.init()
}

/** project prints the project as JSON, after what a server would refuse. */
fun project(init: Project.() -> Unit) {
    val project = Project().apply(init)
    require(version.isNotEmpty()) { "version is not set" }
    val ids = project.builds.map { it.id.toString() } + project.templates.map { it.id.toString() }
    require(ids.size == ids.toSet().size) { "an id twice: $ids" }
    for (build in project.builds) {
        require(build.name.isNotEmpty()) { "${build.id} has no name" }
        for (template in build.from) require(template in project.templates) { "${build.id} is made from ${template.id}, which the project does not have" }
        for ((other, _) in build.allDependencies.on) require(other in project.builds) { "${build.id} depends on ${other.id}, which the project does not have" }
        val resources = project.allFeatures.items.mapNotNull { it.said["name"] }
        for (feature in build.allFeatures.items) {
            val locked = feature.said["readLock"] ?: feature.said["writeLock"] ?: continue
            require(locked in resources) { "${build.id} locks $locked, which the project does not have" }
        }
    }
    require(project.buildTypesOrder.isEmpty() || project.buildTypesOrder.toSet() == project.builds.toSet()) { "buildTypesOrder is not all builds" }
    println(
        json(
            mapOf(
                "version" to version, "description" to project.description, "context" to DslContext.parameters, "params" to project.allParams.values,
                "features" to project.allFeatures.items.map { it.said }, "cleanup" to project.allCleanup.rules.map { it.said },
                "templates" to project.templates.map { settings(it) },
                "builds" to project.builds.map { settings(it) + mapOf("templates" to it.from.map { t -> t.id.toString() }) },
            ),
        ),
    )
}

private fun settings(it: BuildTypeSettings): Map<String, Any?> = mapOf(
    "id" to it.id.toString(), "name" to it.name, "settings" to it.said, "params" to it.allParams.values, "vcs" to it.allVcs.said,
    "steps" to it.allSteps.items.map { s -> s.said }, "triggers" to it.allTriggers.items.map { t -> t.said },
    "features" to it.allFeatures.items.map { f -> f.said }, "conditions" to it.allConditions.said, "requirements" to it.allRequirements.said,
    "dependencies" to it.allDependencies.on.map { (on, how) -> mapOf("on" to on.id.toString()) + how.said },
)

private fun json(value: Any?): String = when (value) {
    null -> "null"
    is Boolean, is Number -> value.toString()
    is Map<*, *> -> value.entries.joinToString(",", "{", "}") { (k, v) -> json(k.toString()) + ":" + json(v) }
    is List<*> -> value.joinToString(",", "[", "]") { json(it) }
    is Node -> json(value.said)
    else -> value.toString().map { c ->
        when {
            c == '"' || c == '\\' -> "\\$c"
            c < ' ' -> "\\u%04x".format(c.code)
            else -> c.toString()
        }
    }.joinToString("", "\"", "\"")
}

class SharedResources : BuildFeature("sharedResources") {
    fun readLock(name: String) {
        said["readLock"] = name
    }

    fun writeLock(name: String) {
        said["writeLock"] = name
    }
}

fun BuildFeatures.sharedResources(init: SharedResources.() -> Unit) = add(SharedResources(), init)

class SharedResource : ProjectFeature("sharedResource") {
    class Type(val quota: Int) {
        override fun toString() = "quota $quota"
    }

    var name: String? by said
    var resourceType: Type? by said

    fun quoted(quota: Int) = Type(quota)
}

fun ProjectFeatures.sharedResource(init: SharedResource.() -> Unit) = add(SharedResource(), init)
