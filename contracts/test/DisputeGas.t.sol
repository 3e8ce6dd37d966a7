// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Request} from "../src/libraries/Types.sol";
import {DisputeDeployment} from "./DisputeDeployment.sol";
import {vm} from "./Vm.sol";

/// @title What a dispute costs those who take part in it; kept in contracts/snapshots
/// @notice Each call is a transaction of its own, as in Gas.t.sol. Five members, eight operators.
/// forge-config: default.isolate = true
contract DisputeGasTest is DisputeDeployment {
    function setUp() public override {
        super.setUp();
        for (uint256 i; i < OPERATORS; ++i) {
            coprocessor.depositFor{value: 1}(operatorAt(i));
        }
        coprocessor.depositFor{value: 1}(CHALLENGER);
    }

    function test_AReplacement() public {
        Request memory asked = deliverDisputable(LIE);
        vm.snapshotGasLastCall("Disputes", "deliver, 2 signers, disputable");
        address[] memory members = openAndDraw(asked);
        bytes32 id = idOf(asked);
        for (uint256 i; i < 5; ++i) {
            commitAs(id, members[i], TRUTH);
            if (i == 0) vm.snapshotGasLastCall("Disputes", "commitVote, the first of 5");
        }
        for (uint256 i; i < 5; ++i) {
            revealAs(id, members[i], TRUTH);
            if (i == 0) vm.snapshotGasLastCall("Disputes", "revealVote, the first of 5");
        }
        coprocessor.applyRuling(asked, TRUTH);
        vm.snapshotGasLastCall("Disputes", "applyRuling, 6 to pay");
        bytes[] memory signatures = new bytes[](2);
        (signatures[0], signatures[1]) =
        (signDigest(keyOf(0), claimDigestOf(asked, LIE)), signDigest(keyOf(1), claimDigestOf(asked, LIE)));
        frauds.proveOutvoted(asked, keccak256(LIE), signatures);
        vm.snapshotGasLastCall("Disputes", "proveOutvoted of 2 signers");
        disputes.settleBond(id);
        vm.snapshotGasLastCall("Disputes", "settleBond, to the challenger");
    }

    function test_AnAnswerThatStands() public {
        Request memory asked = deliverDisputable(TRUTH);
        address[] memory members = openAndDraw(asked);
        bytes32 id = idOf(asked);
        vote(id, TRUTH, 4, LIE, 1);
        vm.warp(vm.getBlockTimestamp() + WINDOW);
        coprocessor.finalize(asked, TRUTH, answerers());
        vm.snapshotGasLastCall("Disputes", "finalize, upheld, 6 to pay");
        frauds.penalizeVoter(id, members[4]);
        vm.snapshotGasLastCall("Disputes", "penalizeVoter");
    }

    function test_AnAnswerNobodyDisputes() public {
        Request memory asked = deliverDisputable(TRUTH);
        vm.warp(vm.getBlockTimestamp() + WINDOW);
        coprocessor.finalize(asked, TRUTH, answerers());
        vm.snapshotGasLastCall("Disputes", "finalize, disputable, 2 to pay");
    }

    function openAndDraw(Request memory asked) private returns (address[] memory members) {
        vm.deal(CHALLENGER, 1 ether);
        vm.prank(CHALLENGER);
        disputes.open{value: BOND_WEI}(asked, answerers());
        vm.snapshotGasLastCall("Disputes", "open");
        bytes32 id = idOf(asked);
        vm.roll(disputes.infoOf(id).seedBlock + 1);
        disputes.draw(id);
        vm.snapshotGasLastCall("Disputes", "draw 5 of 6");
        return disputes.infoOf(id).members;
    }
}
