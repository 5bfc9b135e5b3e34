// Tells Visual Studio Code how to start the debug adapter. All else is the adapter's: kmemu dap.
"use strict";

const vscode = require("vscode");

exports.activate = function (context) {
    const factory = {
        createDebugAdapterDescriptor() {
            const command = vscode.workspace.getConfiguration("kmemu").get("command") || "kmemu";
            return new vscode.DebugAdapterExecutable(command, ["dap"]);
        },
    };
    context.subscriptions.push(vscode.debug.registerDebugAdapterDescriptorFactory("kmemu", factory));
};

exports.deactivate = function () {};
