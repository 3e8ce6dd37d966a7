// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {ICoprocessor} from "../src/interfaces/ICoprocessor.sol";
import {BoundedCall} from "../src/libraries/BoundedCall.sol";
import {CallbackStatus, Delivery, Evidence, Request, ResultCode, Status} from "../src/libraries/Types.sol";
import {Deployment} from "./Deployment.sol";
import {bound, vm} from "./Vm.sol";
import {
    ChainingConsumer,
    GuzzlingConsumer,
    HungryConsumer,
    RecordingConsumer,
    ReenteringConsumer,
    ReturnBombConsumer,
    RevertingConsumer
} from "./hostile/Consumers.sol";

/// @title The callback: exactly the promised gas, never in the way of settlement, never twice
contract CallbackTest is Deployment {
    bytes private constant OUTPUT = "the answer";
    uint32 private constant GAS = 200_000;

    function test_TheConsumerIsTold() public {
        RecordingConsumer consumer = new RecordingConsumer();
        Request memory asked = askFor(address(consumer), GAS);
        vm.assertTrue(answer(asked) == ResultCode.DELIVERED, "code");
        vm.assertEq(consumer.calls(), 1);
        vm.assertEq(consumer.lastId(), coprocessor.computeRequestId(asked));
        vm.assertEq(consumer.lastOutput(), OUTPUT);
        requireSettled(asked, CallbackStatus.SUCCEEDED);
    }

    function test_NoGasAskedForMeansNoCallback() public {
        RecordingConsumer consumer = new RecordingConsumer();
        Request memory asked = askFor(address(consumer), 0);
        vm.assertTrue(answer(asked) == ResultCode.DELIVERED, "code");
        vm.assertEq(consumer.calls(), 0);
        requireSettled(asked, CallbackStatus.NONE);
        vm.expectPartialRevert(ICoprocessor.CallbackNotFailed.selector);
        coprocessor.retryCallback(asked, OUTPUT, GAS);
    }

    function test_AnAccountWithoutCodeIsNotCalled() public {
        Request memory asked = askFor(address(0xA11CE), GAS);
        vm.assertTrue(answer(asked) == ResultCode.DELIVERED, "code");
        requireSettled(asked, CallbackStatus.NONE);
    }

    // ---- consumers that harm: only themselves -----------------------------------------------------------------

    function test_ARevertingConsumerIsSettledAndRetriedOnce() public {
        RevertingConsumer consumer = new RevertingConsumer();
        Request memory asked = askFor(address(consumer), GAS);
        vm.assertTrue(answer(asked) == ResultCode.DELIVERED_CALLBACK_FAILED, "code");
        requireSettled(asked, CallbackStatus.FAILED);
        vm.assertEq(coprocessor.retryCallback(asked, OUTPUT, GAS), false);
        requireSettled(asked, CallbackStatus.FAILED);
        consumer.tame();
        vm.assertEq(coprocessor.retryCallback(asked, OUTPUT, GAS), true);
        requireSettled(asked, CallbackStatus.SUCCEEDED);
        vm.expectPartialRevert(ICoprocessor.CallbackNotFailed.selector);
        coprocessor.retryCallback(asked, OUTPUT, GAS);
        vm.assertEq(consumer.calls(), 1);
    }

    function test_AGuzzlerBurnsWhatItPaidForAndNoMore() public {
        GuzzlingConsumer consumer = new GuzzlingConsumer();
        Request memory asked = askFor(address(consumer), 1_000_000);
        Evidence[] memory evidence = evidenceOf(asked, OUTPUT, 2);
        uint256 before = gasleft();
        coprocessor.deliver(asked, "", OUTPUT, evidence);
        vm.assertLe(before - gasleft(), 1_000_000 + 200_000, "burnt more than its callback gas");
        requireSettled(asked, CallbackStatus.FAILED);
    }

    function test_AReturnBombIsNotCopied() public {
        for (uint256 i; i < 2; ++i) {
            // Whoever expands its memory to 500 kB pays about half a million gas: the consumer, once.
            ReturnBombConsumer consumer = new ReturnBombConsumer(i == 0, 500_000);
            Request memory asked = askFor(address(consumer), 1_500_000);
            Evidence[] memory evidence = evidenceOf(asked, OUTPUT, 2);
            uint256 before = gasleft();
            coprocessor.deliver(asked, "", OUTPUT, evidence);
            vm.assertLe(before - gasleft(), 700_000 + 200_000, "the coprocessor paid for the bomb");
            requireSettled(asked, i == 0 ? CallbackStatus.FAILED : CallbackStatus.SUCCEEDED);
        }
    }

    function test_AHungryConsumerIsFedOnRetryByAnyone() public {
        HungryConsumer consumer = new HungryConsumer();
        Request memory asked = askFor(address(consumer), 50_000);
        vm.assertTrue(answer(asked) == ResultCode.DELIVERED_CALLBACK_FAILED, "code");
        vm.expectRevert(abi.encodeWithSelector(ICoprocessor.RetryGasTooLow.selector, 50_000, 49_999));
        coprocessor.retryCallback(asked, OUTPUT, 49_999);
        vm.expectPartialRevert(ICoprocessor.OutputMismatch.selector);
        coprocessor.retryCallback(asked, "another answer", 1_000_000);
        vm.prank(address(0xABCD));
        vm.assertEq(coprocessor.retryCallback(asked, OUTPUT, 1_000_000), true);
        vm.assertEq(consumer.calls(), 1);
    }

    // ---- deliverers that harm: the promised gas or nothing at all ---------------------------------------------

    /// @dev Whatever gas the deliverer chooses: either the delivery reverts and nothing happened, or the consumer had
    ///      its gas.
    function testFuzz_ADelivererCannotStarveTheCallback(uint256 gasLimit) public {
        RecordingConsumer consumer = new RecordingConsumer();
        Request memory asked = askFor(address(consumer), GAS);
        Evidence[] memory evidence = evidenceOf(asked, OUTPUT, 2);
        gasLimit = bound(gasLimit, 50_000, 700_000);
        bool isDelivered;
        try coprocessor.deliver{gas: gasLimit}(asked, "", OUTPUT, evidence) {
            isDelivered = true;
        } catch {}
        (Status status, CallbackStatus callback,,) = coprocessor.statusOf(coprocessor.computeRequestId(asked));
        if (isDelivered) {
            vm.assertTrue(callback == CallbackStatus.SUCCEEDED, "delivered with a starved callback");
            // Less what the dispatcher spends before the first statement.
            vm.assertLe(GAS - 1_000, consumer.gasAtEntry(), "less gas than promised");
        } else {
            vm.assertTrue(status == Status.REQUESTED, "a failed delivery left something behind");
            vm.assertEq(consumer.calls(), 0);
        }
    }

    /// @dev At the largest callback the 64th that EIP-150 keeps back is more than any fixed reserve.
    function testFuzz_NorTheLargestCallback(uint256 gasLimit) public {
        RecordingConsumer consumer = new RecordingConsumer();
        uint32 promisedGas = coprocessor.MAX_CALLBACK_GAS();
        Request memory asked = askFor(address(consumer), promisedGas);
        Evidence[] memory evidence = evidenceOf(asked, OUTPUT, 2);
        gasLimit = bound(gasLimit, promisedGas, promisedGas + 300_000);
        try coprocessor.deliver{gas: gasLimit}(asked, "", OUTPUT, evidence) {
            vm.assertLe(promisedGas - 1_000, consumer.gasAtEntry(), "less gas than promised");
        } catch (bytes memory reason) {
            vm.assertEq(bytes32(bytes4(reason)), bytes32(BoundedCall.InsufficientGas.selector));
        }
    }

    function test_TheEdgeOfEnoughGasIsFoundAndHolds() public {
        // Walk the limit down in small steps over the whole edge between success and InsufficientGas: no third outcome.
        HungryConsumer consumer = new HungryConsumer();
        Request memory asked = askFor(address(consumer), 1_000_000);
        Evidence[] memory evidence = evidenceOf(asked, OUTPUT, 2);
        uint256 refusals;
        for (uint256 gasLimit = 1_000_000; gasLimit < 1_400_000; gasLimit += 2_000) {
            try coprocessor.deliver{gas: gasLimit}(asked, "", OUTPUT, evidence) returns (ResultCode code) {
                vm.assertTrue(code == ResultCode.DELIVERED, "starved");
                break;
            } catch (bytes memory reason) {
                if (bytes4(reason) == BoundedCall.InsufficientGas.selector) ++refusals;
            }
        }
        vm.assertTrue(refusals != 0, "never saw InsufficientGas");
        requireSettled(asked, CallbackStatus.SUCCEEDED);
    }

    function test_ARetryGivesTheNamedGasOrReverts() public {
        HungryConsumer consumer = new HungryConsumer();
        Request memory asked = askFor(address(consumer), 50_000);
        answer(asked);
        vm.expectPartialRevert(BoundedCall.InsufficientGas.selector);
        coprocessor.retryCallback{gas: 1_000_000}(asked, OUTPUT, 1_000_000);
        requireSettled(asked, CallbackStatus.FAILED);
    }

    // ---- re-entrance ------------------------------------------------------------------------------------------

    function test_EveryGuardedEntryIsClosedDuringACallback() public {
        ReenteringConsumer consumer = new ReenteringConsumer(coprocessor);
        Request memory other = askFor(address(consumer), GAS);
        Evidence[] memory evidence = evidenceOf(other, OUTPUT, 2);
        Delivery[] memory batch = new Delivery[](1);
        batch[0] = Delivery(other, "", "", OUTPUT, evidence);
        bytes[10] memory attacks = [
            abi.encodeCall(coprocessor.deliver, (other, "", OUTPUT, evidence)),
            abi.encodeCall(coprocessor.deliverSigned, (other, "", "", OUTPUT, evidence)),
            abi.encodeCall(coprocessor.deliverBatch, (batch)),
            abi.encodeCall(coprocessor.finalize, (other, OUTPUT, new address[](0))),
            abi.encodeCall(coprocessor.challenge, (other, "", OUTPUT, evidence[0])),
            abi.encodeCall(coprocessor.applyRuling, (other, OUTPUT)),
            abi.encodeCall(coprocessor.retryCallback, (other, OUTPUT, GAS)),
            abi.encodeCall(coprocessor.refund, (other)),
            abi.encodeCall(coprocessor.cancelSigned, (other)),
            abi.encodeCall(coprocessor.withdraw, (0, payable(address(consumer))))
        ];
        for (uint256 i; i < attacks.length; ++i) {
            consumer.prepare(attacks[i]);
            Request memory asked = askFor(address(consumer), 1_000_000);
            vm.assertTrue(answer(asked) == ResultCode.DELIVERED, "code");
            vm.assertEq(consumer.hasSucceeded(), false);
            bytes4 reason = bytes4(consumer.answer());
            vm.assertEq(bytes32(reason), bytes32(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector));
        }
        vm.assertEq(consumer.calls(), attacks.length);
    }

    function test_ACallbackCannotRepeatItself() public {
        ReenteringConsumer consumer = new ReenteringConsumer(coprocessor);
        Request memory asked = askFor(address(consumer), 1_000_000);
        consumer.prepare(abi.encodeCall(coprocessor.retryCallback, (asked, OUTPUT, 1_000_000)));
        answer(asked);
        vm.assertEq(consumer.calls(), 1);
        vm.assertEq(consumer.hasSucceeded(), false);
        requireSettled(asked, CallbackStatus.SUCCEEDED);
    }

    /// @dev Whoever reads the status from inside finds neither a failure, which could be called again, nor a success
    ///      that is not one yet.
    function test_ACallbackReadsThatItIsRunning() public {
        ReenteringConsumer consumer = new ReenteringConsumer(coprocessor);
        // Too little for the consumer: it fails, and is told again.
        Request memory asked = askFor(address(consumer), 30_000);
        consumer.prepare(abi.encodeCall(coprocessor.statusOf, (coprocessor.computeRequestId(asked))));
        vm.assertTrue(answer(asked) == ResultCode.DELIVERED_CALLBACK_FAILED, "code");
        vm.assertEq(coprocessor.retryCallback(asked, OUTPUT, 1_000_000), true);
        requireReadRunning(consumer);
        Request memory other = askFor(address(consumer), 1_000_000);
        consumer.prepare(abi.encodeCall(coprocessor.statusOf, (coprocessor.computeRequestId(other))));
        vm.assertTrue(answer(other) == ResultCode.DELIVERED, "code");
        requireReadRunning(consumer);
        requireSettled(other, CallbackStatus.SUCCEEDED);
    }

    function test_ItemsOfABatchAreNotReachableFromACallback() public {
        ReenteringConsumer consumer = new ReenteringConsumer(coprocessor);
        Request memory other = askFor(address(consumer), GAS);
        Delivery memory item = Delivery(other, "", "", OUTPUT, evidenceOf(other, OUTPUT, 2));
        consumer.prepare(abi.encodeCall(coprocessor.deliverItem, (item)));
        Request memory asked = askFor(address(consumer), 1_000_000);
        answer(asked);
        vm.assertEq(bytes32(bytes4(consumer.answer())), bytes32(ICoprocessor.OnlySelf.selector));
    }

    function test_ACallbackMayAskTheNextQuestion() public {
        ChainingConsumer consumer = new ChainingConsumer(coprocessor, modelId, quorumPolicy(2, 0));
        Request memory asked = askFor(address(consumer), 500_000);
        vm.assertTrue(answer(asked) == ResultCode.DELIVERED, "code");
        (Status status,,,) = coprocessor.statusOf(consumer.nextId());
        vm.assertTrue(status == Status.REQUESTED, "the next question was not asked");
    }

    // ---- inside -----------------------------------------------------------------------------------------------

    function askFor(address consumer, uint32 callbackGas) private returns (Request memory) {
        return ask(consumer, "x", quorumPolicy(2, 0), 10, callbackGas);
    }

    function answer(Request memory asked) private returns (ResultCode) {
        return coprocessor.deliver(asked, "", OUTPUT, evidenceOf(asked, OUTPUT, 2));
    }

    function requireReadRunning(ReenteringConsumer consumer) private view {
        bytes memory expected = abi.encode(Status.FINAL, CallbackStatus.RUNNING, keccak256(OUTPUT), uint64(0));
        vm.assertEq(consumer.answer(), expected);
    }

    function requireSettled(Request memory asked, CallbackStatus expected) private view {
        (Status status, CallbackStatus callback, bytes32 outputDigest,) =
            coprocessor.statusOf(coprocessor.computeRequestId(asked));
        vm.assertTrue(status == Status.FINAL, "not final");
        vm.assertEq(outputDigest, keccak256(OUTPUT));
        vm.assertEq(uint256(callback), uint256(expected));
        vm.assertTrue(coprocessor.balanceOf(operatorAt(0)) >= 5, "not paid");
    }
}
