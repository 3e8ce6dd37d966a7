// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Evidence, Request} from "../src/libraries/Types.sol";
import {Deployment} from "./Deployment.sol";
import {vm} from "./Vm.sol";

/// @title What a policy adds to a delivery; kept in contracts/snapshots, told by `affidavit policy explain`
/// @notice Each call is a transaction of its own, as in Gas.t.sol. Proofs are the double's: what a true one costs on
///         top is in the snapshots Proven and ProofVerifier.
/// forge-config: default.isolate = true
contract PolicyGasTest is Deployment {
    bytes private output = new bytes(20);

    function setUp() public override {
        super.setUp();
        for (uint256 i; i < OPERATORS; ++i) {
            coprocessor.depositFor{value: 1}(operatorAt(i));
        }
        coprocessor.depositFor{value: 1}(REFUND_TO);
        truth.learn(modelId, "x", output);
    }

    function test_ProofAndQuorum() public {
        Request memory asked = ask(address(0xA11CE), "x", proofPolicy(2, 0), 1000, 0);
        Evidence[] memory evidence = new Evidence[](2);
        evidence[0] = evidenceOf(asked, output, 2)[0];
        evidence[1] = proofOf(asked, output, operatorAt(0));
        coprocessor.deliver(asked, "x", output, evidence);
        vm.snapshotGasLastCall("Policies", "deliver, 2 signers and a proof without its verification");
    }

    function test_WindowAndFinalize() public {
        Request memory asked = ask(address(0xA11CE), "x", quorumPolicy(2, 600), 1000, 0);
        coprocessor.deliver(asked, "", output, evidenceOf(asked, output, 2));
        vm.snapshotGasLastCall("Policies", "deliver, 2 signers, under a window");
        vm.warp(block.timestamp + 600);
        address[] memory paid = new address[](2);
        (paid[0], paid[1]) = (operatorAt(0), operatorAt(1));
        coprocessor.finalize(asked, output, paid);
        vm.snapshotGasLastCall("Policies", "finalize, 2 to pay");
    }

    function test_Refund() public {
        Request memory asked = ask(address(0xA11CE), "x", quorumPolicy(2, 0), 1000, 0);
        vm.warp(asked.deadline + 1);
        coprocessor.refund(asked);
        vm.snapshotGasLastCall("Policies", "refund");
    }
}
