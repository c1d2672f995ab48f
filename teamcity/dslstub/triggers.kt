package jetbrains.buildServer.configs.kotlin.triggers

import jetbrains.buildServer.configs.kotlin.*

class VcsTrigger : Trigger("vcs") {
    var branchFilter: String? by said
    var triggerRules: String? by said
}

fun Triggers.vcs(init: VcsTrigger.() -> Unit) = add(VcsTrigger(), init)

class ScheduleTrigger : Trigger("schedule") {
    class Cron : Node() {
        var seconds: String? by said
        var minutes: String? by said
        var hours: String? by said
        var dayOfMonth: String? by said
        var month: String? by said
        var dayOfWeek: String? by said
        var timezone: String? by said
    }

    class Always {
        override fun toString() = "always"
    }

    var schedulingPolicy: Cron? by said
    var triggerBuild: Always? by said
    var branchFilter: String? by said
    var withPendingChangesOnly: Boolean? by said
    var enableQueueOptimization: Boolean? by said

    fun cron(init: Cron.() -> Unit) = Cron().apply(init)
    fun always() = Always()
}

fun Triggers.schedule(init: ScheduleTrigger.() -> Unit) = add(ScheduleTrigger(), init)
