// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICoprocessor} from "../src/interfaces/ICoprocessor.sol";
import {IVerifierRouter} from "../src/interfaces/IVerifierRouter.sol";
import {Delivery, Evidence, Request, ResultCode, Status} from "../src/libraries/Types.sol";
import {Deployment} from "./Deployment.sol";
import {vm} from "./Vm.sol";

/// @title Answering an on-chain request
contract DeliverTest is Deployment {
    address private constant ALICE = address(0xA11CE);
    bytes private constant OUTPUT = hex"00010002ffff";

    function test_AnAnswerWithItsQuorumIsFinalAndPaid() public {
        Request memory asked = ask(ALICE, "x", quorumPolicy(2, 0), 101, 0);
        bytes32 id = coprocessor.computeRequestId(asked);
        address[] memory paid = new address[](2);
        (paid[0], paid[1]) = (operatorAt(0), operatorAt(1));
        Evidence[] memory evidence = evidenceOf(asked, OUTPUT, 2);
        vm.expectEmit(address(coprocessor));
        emit ICoprocessor.InferenceDelivered(id, modelId, ALICE, keccak256(OUTPUT), OUTPUT, paid, 0);
        ResultCode code = coprocessor.deliver(asked, "", OUTPUT, evidence);
        vm.assertTrue(code == ResultCode.DELIVERED, "delivered");
        (Status status,, bytes32 outputDigest, uint64 availableAt) = coprocessor.statusOf(id);
        vm.assertTrue(status == Status.FINAL, "final");
        vm.assertEq(outputDigest, keccak256(OUTPUT));
        vm.assertEq(availableAt, 0);
        vm.assertEq(coprocessor.balanceOf(operatorAt(0)), 51, "first share with the remainder");
        vm.assertEq(coprocessor.balanceOf(operatorAt(1)), 50, "second share");
    }

    function testFuzz_EveryWeiOfTheFeeIsPaid(uint128 feeWei, uint8 signers) public {
        uint256 count = 2 + signers % (OPERATORS - 1);
        Request memory asked = ask(ALICE, "x", quorumPolicy(2, 0), feeWei, 0);
        coprocessor.deliver(asked, "", OUTPUT, evidenceOf(asked, OUTPUT, count));
        uint256 sumWei;
        for (uint256 i; i < count; ++i) {
            sumWei += coprocessor.balanceOf(operatorAt(i));
        }
        vm.assertEq(sumWei, feeWei);
    }

    function test_AnyoneMayDeliverInTheLastSecond() public {
        Request memory asked = ask(ALICE, "x", quorumPolicy(2, 0), 5, 0);
        Evidence[] memory evidence = evidenceOf(asked, OUTPUT, 2);
        vm.warp(asked.deadline);
        vm.prank(address(0x5742A4632));
        coprocessor.deliver(asked, "", OUTPUT, evidence);
    }

    function test_AnEmptyOutputIsAnOutput() public {
        Request memory asked = ask(ALICE, "x", quorumPolicy(2, 0), 5, 0);
        coprocessor.deliver(asked, "", "", evidenceOf(asked, "", 2));
    }

    // ---- refused ----------------------------------------------------------------------------------------------

    function test_AfterTheDeadlineItIsTooLate() public {
        Request memory asked = ask(ALICE, "x", quorumPolicy(2, 0), 5, 0);
        Evidence[] memory evidence = evidenceOf(asked, OUTPUT, 2);
        vm.warp(asked.deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(ICoprocessor.Expired.selector, asked.deadline));
        coprocessor.deliver(asked, "", OUTPUT, evidence);
    }

    function test_ASecondAnswerIsRefusedAndSaysWhichIsTheFirst() public {
        Request memory asked = ask(ALICE, "x", quorumPolicy(2, 0), 5, 0);
        coprocessor.deliver(asked, "", OUTPUT, evidenceOf(asked, OUTPUT, 2));
        bytes32 id = coprocessor.computeRequestId(asked);
        Evidence[] memory again = asEvidence(quorumData(asked, "another", 2, 2));
        vm.expectRevert(abi.encodeWithSelector(ICoprocessor.AlreadyDelivered.selector, id, keccak256(OUTPUT)));
        coprocessor.deliver(asked, "", "another", again);
        vm.assertEq(coprocessor.balanceOf(operatorAt(0)), 3);
    }

    function test_ARefundedRequestIsClosed() public {
        Request memory asked = ask(ALICE, "x", quorumPolicy(2, 0), 5, 0);
        Evidence[] memory evidence = evidenceOf(asked, OUTPUT, 2);
        vm.warp(asked.deadline + 1);
        coprocessor.refund(asked);
        vm.expectPartialRevert(ICoprocessor.RequestClosed.selector);
        coprocessor.deliver(asked, "", OUTPUT, evidence);
    }

    function test_EveryFieldOfTheRequestIsCommitted() public {
        Request memory asked = ask(ALICE, "x", quorumPolicy(2, 0), 5, 100);
        bytes memory encoded = abi.encode(asked);
        for (uint256 field; field < 9; ++field) {
            bytes memory mutated = bytes.concat(encoded);
            // The lowest bit of the field's word: inside the type for every field.
            mutated[32 * field + 31] ^= 0x01;
            // The policy's lowest bit is padding; make it a well-formed policy of one signer.
            if (field == 4) mutated[32 * field + 31] ^= 0x01;
            if (field == 4) mutated[32 * field + 1] = 0x01;
            Request memory other = abi.decode(mutated, (Request));
            Evidence[] memory evidence = evidenceOf(other, OUTPUT, 2);
            vm.expectRevert(
                abi.encodeWithSelector(ICoprocessor.UnknownRequest.selector, coprocessor.computeRequestId(other))
            );
            coprocessor.deliver(other, "", OUTPUT, evidence);
        }
        coprocessor.deliver(asked, "", OUTPUT, evidenceOf(asked, OUTPUT, 2));
    }

    function test_EveryBitOfTheEvidenceCounts() public {
        Request memory asked = ask(ALICE, "x", quorumPolicy(2, 0), 5, 0);
        bytes memory data = quorumData(asked, OUTPUT, 0, 2);
        for (uint256 bit; bit < 8 * data.length; ++bit) {
            bytes memory flipped = bytes.concat(data);
            flipped[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
            requireRefused(asked, OUTPUT, asEvidence(flipped));
        }
        coprocessor.deliver(asked, "", OUTPUT, asEvidence(data));
    }

    function test_EveryBitOfTheOutputCounts() public {
        Request memory asked = ask(ALICE, "x", quorumPolicy(2, 0), 5, 0);
        Evidence[] memory evidence = evidenceOf(asked, OUTPUT, 2);
        for (uint256 bit; bit < 8 * OUTPUT.length; ++bit) {
            bytes memory flipped = bytes.concat(OUTPUT);
            flipped[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
            requireRefused(asked, flipped, evidence);
        }
        requireRefused(asked, bytes.concat(OUTPUT, hex"00"), evidence);
        requireRefused(asked, "", evidence);
        coprocessor.deliver(asked, "", OUTPUT, evidence);
    }

    function test_EveryBitOfTheSelectorCounts() public {
        Request memory asked = ask(ALICE, "x", quorumPolicy(2, 0), 5, 0);
        Evidence[] memory evidence = evidenceOf(asked, OUTPUT, 2);
        for (uint256 bit; bit < 32; ++bit) {
            evidence[0].selector = QUORUM ^ bytes4(uint32(1 << bit));
            vm.expectRevert(abi.encodeWithSelector(IVerifierRouter.SelectorUnknown.selector, evidence[0].selector));
            coprocessor.deliver(asked, "", OUTPUT, evidence);
        }
    }

    function test_ExactlyTheDemandedEvidenceIsTaken() public {
        Request memory asked = ask(ALICE, "x", quorumPolicy(2, 0), 5, 0);
        vm.expectRevert(abi.encodeWithSelector(ICoprocessor.EvidenceCount.selector, 1, 0));
        coprocessor.deliver(asked, "", OUTPUT, new Evidence[](0));
        Evidence[] memory twice = new Evidence[](2);
        twice[0] = Evidence(QUORUM, quorumData(asked, OUTPUT, 0, 2));
        twice[1] = twice[0];
        vm.expectRevert(abi.encodeWithSelector(ICoprocessor.EvidenceCount.selector, 1, 2));
        coprocessor.deliver(asked, "", OUTPUT, twice);
    }

    function test_EvidenceOfOneRequestDoesNotServeAnother() public {
        Request memory first = ask(ALICE, "x", quorumPolicy(2, 0), 5, 0);
        Request memory second = ask(ALICE, "x", quorumPolicy(2, 0), 5, 0);
        requireRefused(second, OUTPUT, evidenceOf(first, OUTPUT, 2));
    }

    function test_EvidenceOfAnotherChainOrContractDoesNotServe() public {
        Request memory asked = ask(ALICE, "x", quorumPolicy(2, 0), 5, 0);
        vm.chainId(2);
        Evidence[] memory evidence = evidenceOf(asked, OUTPUT, 2);
        vm.chainId(31_337);
        requireRefused(asked, OUTPUT, evidence);
    }

    function test_AStoppedVerifierDecidesNothing() public {
        Request memory asked = ask(ALICE, "x", quorumPolicy(2, 0), 5, 0);
        Evidence[] memory evidence = evidenceOf(asked, OUTPUT, 2);
        vm.prank(GUARDIAN);
        router.stop(QUORUM);
        vm.expectRevert(abi.encodeWithSelector(IVerifierRouter.SelectorStopped.selector, QUORUM));
        coprocessor.deliver(asked, "", OUTPUT, evidence);
        vm.prank(OWNER);
        router.resume(QUORUM);
        coprocessor.deliver(asked, "", OUTPUT, evidence);
    }

    function test_ADeprecatedModelsRequestsAreStillAnswered() public {
        Request memory asked = ask(ALICE, "x", quorumPolicy(2, 0), 5, 0);
        models.deprecate(modelId);
        coprocessor.deliver(asked, "", OUTPUT, evidenceOf(asked, OUTPUT, 2));
    }

    function test_NobodyOutsideRunsABatchItem() public {
        Request memory asked = ask(ALICE, "x", quorumPolicy(2, 0), 5, 0);
        Delivery memory item = Delivery(asked, "", "", OUTPUT, evidenceOf(asked, OUTPUT, 2));
        vm.expectRevert(ICoprocessor.OnlySelf.selector);
        coprocessor.deliverItem(item);
    }

    function requireRefused(Request memory asked, bytes memory output, Evidence[] memory evidence) private {
        try coprocessor.deliver(asked, "", output, evidence) {
            vm.assertTrue(false, "accepted a lie");
        } catch (bytes memory reason) {
            vm.assertTrue(reason.length >= 4, "refused without a reason");
        }
        (Status status,,,) = coprocessor.statusOf(coprocessor.computeRequestId(asked));
        vm.assertTrue(status == Status.REQUESTED, "a refusal changed the request");
    }
}
