package jetbrains.buildServer.configs.kotlin.buildSteps

import jetbrains.buildServer.configs.kotlin.*

class ExecBuildStep : BuildStep("exec") {
    var path: String? by said
    var arguments: String? by said
}

fun BuildSteps.exec(init: ExecBuildStep.() -> Unit) = add(ExecBuildStep(), init)
