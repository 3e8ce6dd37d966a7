// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IOperatorRegistry} from "../src/interfaces/IOperatorRegistry.sol";
import {Evidence, Request} from "../src/libraries/Types.sol";
import {Deployment} from "./Deployment.sol";
import {vm} from "./Vm.sol";

/// @title An operator's record: what it was paid for, how late, how often it lost stake
contract QualityTest is Deployment {
    address private constant ASKER = address(0xA11CE);
    uint256 private constant HALF = 30 minutes; // of the hour that `ask` gives

    function test_WhatIsPaidForIsCountedForEveryoneWhoIsPaid() public {
        deliverAfter(0, quorumPolicy(2, 0), 10);
        deliverAfter(0, quorumPolicy(1, 0), 10);
        requireQuality(0, 2, 0, 0);
        requireQuality(1, 1, 0, 0);
        requireQuality(2, 0, 0, 0);
        vm.assertEq(coprocessor.balanceOf(operatorAt(0)), 15);
    }

    function test_WhatNobodyPaidForCountsForNobody() public {
        deliverAfter(0, quorumPolicy(2, 0), 0);
        requireQuality(0, 0, 0, 0);
    }

    function test_LateIsAfterMoreThanHalfOfTheTime() public {
        deliverAfter(HALF, quorumPolicy(1, 0), 1);
        requireQuality(0, 1, 0, 0);
        deliverAfter(HALF + 1, quorumPolicy(1, 0), 1);
        requireQuality(0, 2, 1, 0);
    }

    /// @dev What counts is when the answer came, not when it was finalized.
    function test_AWindowMakesNobodyLate() public {
        finalizeAfter(HALF, 2 hours);
        requireQuality(0, 1, 0, 0);
        finalizeAfter(HALF + 1, 0);
        requireQuality(0, 2, 1, 0);
    }

    function test_APendingAnswerIsNotYetCounted() public {
        deliverAfter(0, quorumPolicy(1, 600), 1);
        requireQuality(0, 0, 0, 0);
    }

    /// @dev Its time of asking is the signer's secret: no operator is blamed for it.
    function test_ASignedRequestIsNeverLate() public {
        uint256 key = uint256(keccak256("requester"));
        coprocessor.depositFor{value: 10}(vm.addr(key));
        Request memory asked = nextRequest(vm.addr(key), "x", quorumPolicy(1, 0), 10, 0);
        asked.nonce = 1 << 128;
        bytes memory signature = signDigest(key, coprocessor.computeRequestId(asked));
        vm.warp(asked.deadline);
        coprocessor.deliverSigned(asked, signature, "", "y", evidenceOf(asked, "y", 1));
        requireQuality(0, 1, 0, 0);
    }

    function test_WhoIsReplacedIsNotCountedAndWhoProvesIs() public {
        truth.learn(modelId, "x", "true");
        Request memory asked = deliverAfter(HALF + 1, quorumPolicy(1, 600), 10);
        coprocessor.challenge(asked, "x", "true", proofOf(asked, "true", operatorAt(3)));
        requireQuality(0, 0, 0, 0);
        requireQuality(3, 1, 0, 0);
    }

    function test_ALieIsCountedOnce() public {
        truth.learn(modelId, "x", "true");
        Request memory asked = deliverAfter(0, quorumPolicy(1, 600), 10);
        bytes[] memory signatures = new bytes[](1);
        signatures[0] = signDigest(keyOf(0), claimDigestOf(asked, "y"));
        frauds.proveWrong(claimOf(asked, "y"), signatures, "x", "true", proofOf(asked, "true", operatorAt(3)));
        requireQuality(0, 0, 0, 1);
    }

    /// @dev Whoever leaves and comes back has the record it left with.
    function test_TheRecordOutlastsTheSeat() public {
        vm.prank(address(frauds));
        operators.slash(operatorAt(0), 1, ASKER);
        vm.prank(operatorAt(0));
        operators.beginExit();
        vm.warp(block.timestamp + UNBONDING_SECONDS);
        vm.prank(operatorAt(0));
        operators.withdrawStake(payable(operatorAt(0)));
        vm.expectPartialRevert(IOperatorRegistry.NotSeated.selector);
        operators.operatorInfo(operatorAt(0));
        requireQuality(0, 0, 0, 1);
    }

    function test_WithdrawingLeavesTheRecord() public {
        coprocessor.depositFor{value: 7}(operatorAt(0));
        deliverAfter(HALF + 1, quorumPolicy(1, 0), 5);
        vm.prank(operatorAt(0));
        coprocessor.withdraw(12, payable(ASKER));
        requireQuality(0, 1, 1, 0);
        vm.assertEq(coprocessor.balanceOf(operatorAt(0)), 0);
    }

    // ---- inside -----------------------------------------------------------------------------------------------

    function deliverAfter(uint256 seconds_, bytes32 policy, uint256 feeWei) private returns (Request memory asked) {
        asked = ask(ASKER, "x", policy, feeWei, 0);
        vm.warp(block.timestamp + seconds_);
        Evidence[] memory evidence = evidenceOf(asked, "y", uint8(policy[1]));
        coprocessor.deliver(asked, "", "y", evidence);
    }

    function finalizeAfter(uint256 seconds_, uint256 more) private {
        Request memory asked = deliverAfter(seconds_, quorumPolicy(1, 600), 10);
        vm.warp(block.timestamp + 600 + more);
        address[] memory paid = new address[](1);
        paid[0] = operatorAt(0);
        coprocessor.finalize(asked, "y", paid);
    }

    function requireQuality(uint256 i, uint256 delivered, uint256 late, uint256 slashed) private view {
        (uint64 delivered_, uint64 late_, uint64 slashed_) = frauds.qualityOf(operatorAt(i));
        vm.assertEq(delivered_, delivered, "delivered");
        vm.assertEq(late_, late, "late");
        vm.assertEq(slashed_, slashed, "slashed");
    }
}
