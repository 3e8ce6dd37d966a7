// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICoprocessor} from "../src/interfaces/ICoprocessor.sol";
import {Delivery, Request, ResultCode, Status} from "../src/libraries/Types.sol";
import {QuorumVerifier} from "../src/verifiers/QuorumVerifier.sol";
import {Deployment} from "./Deployment.sol";
import {Vm, bound, vm} from "./Vm.sol";
import {GuzzlingConsumer, RecordingConsumer, RevertingConsumer} from "./hostile/Consumers.sol";
import {OddWallet} from "./hostile/Wallets.sol";

/// @title Batches: a code per item, and one bad item never sinks the others
contract BatchTest is Deployment {
    uint256 private constant KEY = uint256(keccak256("requester"));
    address private constant ALICE = address(0xA11CE);
    bytes private constant OUTPUT = "the answer";

    function test_EveryOutcomeHasItsCodeAndLeavesTheOthersAlone() public {
        Delivery[] memory items = new Delivery[](12);
        ResultCode[12] memory expected;
        (items[0], expected[0]) = (good(), ResultCode.DELIVERED);
        (items[1], expected[1]) = (to(address(new RevertingConsumer())), ResultCode.DELIVERED_CALLBACK_FAILED);
        (items[2], expected[2]) = (pending(), ResultCode.DELIVERED_PENDING);
        (items[3], expected[3]) = (unknown(), ResultCode.UNKNOWN_REQUEST);
        (items[4], expected[4]) = (items[0], ResultCode.ALREADY_DELIVERED);
        (items[5], expected[5]) = (badEvidence(), ResultCode.BAD_EVIDENCE);
        (items[6], expected[6]) = (signed(10, KEY), ResultCode.UNPAID);
        (items[7], expected[7]) = (signed(0, KEY + 1), ResultCode.BAD_SIGNATURE);
        (items[8], expected[8]) = (cancelled(), ResultCode.CLOSED);
        (items[9], expected[9]) = (refusedSigned(), ResultCode.REFUSED);
        (items[10], expected[10]) = (signed(0, KEY), ResultCode.DELIVERED);
        (items[11], expected[11]) = (to(address(new GuzzlingConsumer())), ResultCode.DELIVERED_CALLBACK_FAILED);
        vm.recordLogs();
        ResultCode[] memory codes = coprocessor.deliverBatch(items);
        for (uint256 i; i < items.length; ++i) {
            vm.assertEq(uint256(codes[i]), uint256(expected[i]), vm.toString(i));
        }
        requireEvents(items, codes);
    }

    function test_ExpiredAndRefundedItemsSayWhich() public {
        Delivery[] memory items = new Delivery[](2);
        (items[0], items[1]) = (good(), good());
        vm.warp(items[0].request.deadline + 1);
        coprocessor.refund(items[1].request);
        ResultCode[] memory codes = coprocessor.deliverBatch(items);
        vm.assertTrue(codes[0] == ResultCode.EXPIRED, "expired");
        vm.assertTrue(codes[1] == ResultCode.CLOSED, "closed");
    }

    function test_TheReasonIsTheErrorsSelector() public {
        Delivery[] memory items = new Delivery[](1);
        items[0] = badEvidence();
        bytes32 id = coprocessor.computeRequestId(items[0].request);
        vm.expectEmit(address(coprocessor));
        emit ICoprocessor.BatchItem(id, ResultCode.BAD_EVIDENCE, QuorumVerifier.QuorumNotMet.selector);
        coprocessor.deliverBatch(items);
    }

    function test_ARefusedItemLeavesNothingBehind() public {
        Delivery[] memory items = new Delivery[](1);
        items[0] = badEvidence();
        coprocessor.deliverBatch(items);
        requireStatus(items[0].request, Status.REQUESTED);
        items[0].evidence = evidenceOf(items[0].request, OUTPUT, 2);
        coprocessor.deliverBatch(items);
        requireStatus(items[0].request, Status.FINAL);
    }

    function test_AnEmptyBatchIsNothing() public {
        vm.assertEq(coprocessor.deliverBatch(new Delivery[](0)).length, 0);
    }

    /// @dev Whatever gas the batch gets: an item is delivered with all its callback gas, or marked OUT_OF_GAS and
    ///      untouched. The batch itself never fails once it has enough to write its codes.
    function testFuzz_GasDecidesHowManyNotWhether(uint256 gasLimit) public {
        Delivery[] memory items = new Delivery[](4);
        RecordingConsumer consumer = new RecordingConsumer();
        for (uint256 i; i < items.length; ++i) {
            items[i] = to(address(consumer));
        }
        gasLimit = bound(gasLimit, 120_000, 3_000_000);
        ResultCode[] memory codes = coprocessor.deliverBatch{gas: gasLimit}(items);
        uint256 delivered;
        for (uint256 i; i < items.length; ++i) {
            bool isDelivered = codes[i] == ResultCode.DELIVERED;
            vm.assertTrue(isDelivered || codes[i] == ResultCode.OUT_OF_GAS, "only lack of gas stops a good item");
            requireStatus(items[i].request, isDelivered ? Status.FINAL : Status.REQUESTED);
            if (isDelivered) ++delivered;
        }
        vm.assertEq(consumer.calls(), delivered);
    }

    function test_GuzzlersDoNotSinkWhoComesAfter() public {
        Delivery[] memory items = new Delivery[](6);
        for (uint256 i; i < 5; ++i) {
            items[i] = to(address(new GuzzlingConsumer()));
        }
        items[5] = good();
        ResultCode[] memory codes = coprocessor.deliverBatch{gas: 5_000_000}(items);
        vm.assertTrue(codes[5] == ResultCode.DELIVERED, "sunk by a guzzler");
    }

    function test_WalletsThatBurnDoNotSinkWhoComesAfter() public {
        Delivery[] memory items = new Delivery[](4);
        for (uint256 i; i < 3; ++i) {
            OddWallet wallet = new OddWallet(OddWallet.Mood.BURN, 0);
            Request memory asked = nextRequest(address(wallet), "x", quorumPolicy(2, 0), 0, 0);
            asked.nonce = (1 << 128) + i;
            items[i] = Delivery(asked, "", "", OUTPUT, evidenceOf(asked, OUTPUT, 2));
        }
        items[3] = good();
        ResultCode[] memory codes = coprocessor.deliverBatch{gas: 3_000_000}(items);
        vm.assertTrue(codes[0] == ResultCode.BAD_SIGNATURE, "a burning wallet did not sign");
        vm.assertTrue(codes[3] == ResultCode.DELIVERED, "sunk by a burning wallet");
    }

    // ---- items ------------------------------------------------------------------------------------------------

    function good() private returns (Delivery memory) {
        return itemOf(ask(ALICE, "x", quorumPolicy(2, 0), 10, 0));
    }

    function to(address consumer) private returns (Delivery memory) {
        return itemOf(ask(consumer, "x", quorumPolicy(2, 0), 10, 300_000));
    }

    function pending() private returns (Delivery memory) {
        return itemOf(ask(ALICE, "x", quorumPolicy(2, 60), 10, 0));
    }

    function unknown() private returns (Delivery memory item) {
        item = good();
        item.request.feeWei += 1;
    }

    function badEvidence() private returns (Delivery memory item) {
        item = good();
        item.evidence = evidenceOf(item.request, OUTPUT, 1);
    }

    function signed(uint256 feeWei, uint256 key) private view returns (Delivery memory item) {
        Request memory asked = nextRequest(vm.addr(KEY), "x", quorumPolicy(2, 0), feeWei, 0);
        asked.nonce = uint256(keccak256(abi.encode(feeWei, key))) | (1 << 128);
        item = itemOf(asked);
        item.signature = signDigest(key, coprocessor.computeRequestId(asked));
    }

    function cancelled() private returns (Delivery memory item) {
        item = signed(1, KEY);
        vm.prank(vm.addr(KEY));
        coprocessor.cancelSigned(item.request);
    }

    function refusedSigned() private view returns (Delivery memory item) {
        item = signed(2, KEY);
        item.request.refundTo = address(0);
    }

    function itemOf(Request memory asked) private view returns (Delivery memory) {
        return Delivery(asked, "", "", OUTPUT, evidenceOf(asked, OUTPUT, 2));
    }

    // ---- checks -----------------------------------------------------------------------------------------------

    function requireEvents(Delivery[] memory items, ResultCode[] memory codes) private {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        uint256 found;
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].topics[0] != ICoprocessor.BatchItem.selector) continue;
            (ResultCode code, bytes4 reason) = abi.decode(logs[i].data, (ResultCode, bytes4));
            vm.assertEq(logs[i].topics[1], coprocessor.computeRequestId(items[found].request));
            vm.assertTrue(code == codes[found], "event and return value differ");
            vm.assertEq(reason == 0, uint256(code) <= uint256(ResultCode.DELIVERED_PENDING));
            ++found;
        }
        vm.assertEq(found, items.length);
    }

    function requireStatus(Request memory asked, Status expected) private view {
        (Status status,,,) = coprocessor.statusOf(coprocessor.computeRequestId(asked));
        vm.assertEq(uint256(status), uint256(expected));
    }
}
