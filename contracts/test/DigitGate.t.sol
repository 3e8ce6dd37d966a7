// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {DigitGate} from "../src/examples/DigitGate.sol";
import {Request, ResultCode} from "../src/libraries/Types.sol";
import {Deployment} from "./Deployment.sol";
import {vm} from "./Vm.sol";

/// @title The example a developer copies does what it says, and nobody else can speak to it
contract DigitGateTest is Deployment {
    address private constant ALICE = address(0xA11CE);
    bytes private constant IMAGE = hex"0001000200030004";
    DigitGate private gate;

    function setUp() public override {
        super.setUp();
        gate = DigitGate(deployShipped("DigitGate", abi.encode(coprocessor, modelId, quorumPolicy(2, 0))));
    }

    function test_ADigitIsAskedAnsweredAndRemembered() public {
        Request memory asked = askGate();
        bytes32 id = coprocessor.computeRequestId(asked);
        bytes memory scores = hex"0001fffe7ffe00000000000080007fff00000005";
        vm.expectEmit(address(gate));
        emit DigitGate.DigitRead(id, ALICE, 7);
        ResultCode code = coprocessor.deliver(asked, "", scores, evidenceOf(asked, scores, 2));
        vm.assertTrue(code == ResultCode.DELIVERED, "code");
        (address asker, DigitGate.State state, uint8 digit) = gate.readingOf(id);
        vm.assertEq(asker, ALICE);
        vm.assertTrue(state == DigitGate.State.READ, "read");
        vm.assertEq(digit, 7);
    }

    function testFuzz_TheLargestScoreWinsAndTheFirstOfEquals(int16[10] calldata scores) public view {
        bytes memory packed;
        uint256 expected;
        for (uint256 i; i < 10; ++i) {
            packed = bytes.concat(packed, bytes2(uint16(scores[i])));
            if (scores[i] > scores[expected]) expected = i;
        }
        vm.assertEq(gate.indexOfLargest(packed), expected);
    }

    function test_OnlyTheCoprocessorAnswers() public {
        bytes32 id = coprocessor.computeRequestId(askGate());
        vm.expectRevert(abi.encodeWithSelector(DigitGate.NotCoprocessor.selector, address(this)));
        gate.onInference(id, new bytes(20));
    }

    function test_OnlyItsOwnQuestionsAreAnsweredAndOnce() public {
        vm.prank(address(coprocessor));
        vm.expectRevert(abi.encodeWithSelector(DigitGate.NotAsked.selector, bytes32("other")));
        gate.onInference("other", new bytes(20));
        bytes32 id = coprocessor.computeRequestId(askGate());
        vm.prank(address(coprocessor));
        gate.onInference(id, new bytes(20));
        vm.prank(address(coprocessor));
        vm.expectRevert(abi.encodeWithSelector(DigitGate.NotAsked.selector, id));
        gate.onInference(id, new bytes(20));
    }

    function test_AnAnswerOfAnotherShapeIsNotRead() public {
        Request memory asked = askGate();
        ResultCode code = coprocessor.deliver(asked, "", hex"0001", evidenceOf(asked, hex"0001", 2));
        vm.assertTrue(code == ResultCode.DELIVERED_CALLBACK_FAILED, "code");
    }

    function test_TheAskerGetsTheFeeBackWhenNobodyAnswers() public {
        Request memory asked = askGate();
        vm.warp(asked.deadline + 1);
        coprocessor.refund(asked);
        vm.prank(ALICE);
        coprocessor.withdraw(asked.feeWei, payable(ALICE));
        vm.assertEq(ALICE.balance, asked.feeWei);
    }

    function askGate() private returns (Request memory asked) {
        asked = nextRequest(address(gate), IMAGE, quorumPolicy(2, 0), 10, gate.CALLBACK_GAS());
        asked.refundTo = ALICE;
        vm.deal(ALICE, 10);
        vm.prank(ALICE);
        bytes32 id = gate.ask{value: 10}(IMAGE, 1 hours);
        vm.assertEq(id, coprocessor.computeRequestId(asked));
    }
}
